"""Watching the jobs go by, by reading the tables."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from django.core.management import CommandError
from django.db.models import Count
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)

from django_jobflow import JobState
from django_jobflow.models import JobRecord, SucceededJob
from shop.demo.processes import Process
from shop.jobs import ImportOrders, ProcessOrder

ENDED = (JobState.FAILED, JobState.CANCELLED)
PAUSE = 0.4  # seconds between two looks
PATIENCE = 60  # seconds without a finished job until something must be wrong


@dataclass(frozen=True, slots=True)
class Counts:
    """How many jobs there are.

    Attributes:
        failed: By name.
    """

    succeeded: int
    failed: dict[str, int]
    unfinished: int

    @property
    def done(self) -> int:
        return self.succeeded + sum(self.failed.values())

    def expected(self, rows: int) -> int:
        """Return how many there will be in the end, for a file of *rows* orders."""
        if ImportOrders.definition().name in self.failed:
            return self.done + self.unfinished
        unpaid = self.failed.get(ProcessOrder.definition().name, 0)
        return 1 + 2 * rows - unpaid  # an order that fails has no receipt


def count_jobs() -> Counts:
    """Read the tables; two statements."""
    # The live table first: a job that ends between the two is then seen twice, never missed.
    live = list(JobRecord.objects.order_by().values_list("name", "state").annotate(Count("pk")))
    failed: dict[str, int] = {}
    for name, state, count in live:
        if state in ENDED:
            failed[name] = failed.get(name, 0) + count
    unfinished = sum(count for _, state, count in live if state not in ENDED)
    return Counts(SucceededJob.objects.count(), failed, unfinished)


def work_off(worker: Process, rows: int, console: Console) -> None:
    """Wait until *worker* has nothing left to do for a file of *rows* orders.

    Raises:
        CommandError: The worker ended by itself, or finishes nothing any more.
    """
    bar = Progress(
        TextColumn("Working"),
        BarColumn(bar_width=None),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        TextColumn("jobs"),
        TimeElapsedColumn(),
        console=console,
    )
    with bar:
        task = bar.add_task("", total=1 + 2 * rows)
        watch = Watch(worker)
        while (counts := count_jobs()).unfinished:
            bar.update(task, completed=counts.done, total=counts.expected(rows))
            watch.look(counts.done)
            time.sleep(PAUSE)
        bar.update(task, completed=counts.done, total=counts.done)


class Watch:
    """Notices a worker that has ended, or stands still."""

    def __init__(self, worker: Process, clock: Callable[[], float] = time.monotonic) -> None:
        self.worker = worker
        self.clock = clock
        self.done = -1
        self.moved_at = clock()

    def look(self, done: int) -> None:
        """Compare *done* jobs with the last look.

        Raises:
            CommandError: There is nothing to wait for any more.
        """
        if done != self.done:
            self.done, self.moved_at = done, self.clock()
        if self.worker.has_ended:
            raise CommandError(f"The worker has ended by itself:\n{self.worker.last_words()}")
        if self.clock() - self.moved_at > PATIENCE:
            raise CommandError(
                f"No job has ended for {PATIENCE} seconds:\n{self.worker.last_words()}"
            )
