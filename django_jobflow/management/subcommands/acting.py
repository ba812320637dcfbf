"""What the sub-commands have in common that change jobs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any, ClassVar

from django.core.management.base import CommandError, CommandParser

from django_jobflow import bulk, observe, states
from django_jobflow.engines import engine_for
from django_jobflow.management.arguments import WRONG_USAGE
from django_jobflow.management.carrying import carry_out, project_language
from django_jobflow.management.operator import operator
from django_jobflow.management.output import Output
from django_jobflow.management.selecting import (
    add_filters,
    add_ids,
    add_search,
    searched,
    selection_of,
    subject_of,
)
from django_jobflow.management.subcommands.base import Asking
from django_jobflow.models import BulkState, SucceededJob
from django_jobflow.observe import Count, Selection
from django_jobflow.observe.lists import Rows
from django_jobflow.operate import Done

MOST_COUNTED = 10_000  # jobs that a dry run counts
NOT_ALL = 1


def add_safety(parser: CommandParser) -> None:
    """Add the options of what is not to happen by mistake."""
    parser.add_argument(
        "--dry-run", action="store_true", help="Change nothing; count what would be changed."
    )
    parser.add_argument("--yes", action="store_true", help="Do it without being asked for this.")


def counted(rows: Rows) -> Count:
    """Return how many *rows* there are, or at least."""
    number = observe.count_up_to(rows, MOST_COUNTED + 1)
    return Count(min(number, MOST_COUNTED), number > MOST_COUNTED)


def jobs(number: Count | int) -> str:
    """Return a number of jobs in words."""
    shown = f"{number:,}" if isinstance(number, int) else str(number)
    return "1 job" if shown == "1" else f"{shown} jobs"


class Acting(Asking):
    """A sub-command that does one thing to the jobs that are named, or that filters find.

    Attributes:
        verb: The verb in the table of transitions; "" where it is none of them.
        many: Does it to a queryset of records.
        infinitive: What it does, as in "would retry 3 jobs".
        past: What it has done, as in "3 jobs will run again".
        why_skipped: What those are that it does not apply to.
        is_final: Whether it cannot be undone, so that it asks even where the jobs are named.
    """

    verb = ""
    many: ClassVar[Callable[..., Done]]
    infinitive: str
    past: str
    why_skipped: str
    is_final = False

    @classmethod
    def add_arguments(cls, parser: CommandParser) -> None:
        add_ids(parser)
        add_filters(parser)
        add_search(parser)
        add_safety(parser)
        super().add_arguments(parser)

    def act(self, rows: Rows, selection: Selection) -> Done:
        """Do it to *rows*."""
        return type(self).many(rows, by=operator(), subject=subject_of(selection))

    def answer(self, alias: str, output: Output, options: dict[str, Any]) -> int:
        if options["search"] is not None:
            return self._to_all_that_match(alias, output, options)
        selection = self.checked(selection_of(options))
        rows = self.rows(selection, alias)
        if options["dry_run"]:
            self._would(counted(rows), output, options)
            return 0
        if not options["yes"] and (self.is_final or not selection.ids):
            raise CommandError(
                f"This would {self.infinitive} {jobs(counted(rows))}. Add --yes to do it."
            )
        with project_language():
            done = self.act(rows, selection)
        missing = max(len(set(selection.ids)) - done.done - done.asked - done.skipped, 0)
        self._did(done, missing, output, options)
        if missing and not options["json"]:
            _tell_missing(selection, missing, alias, output)
        return NOT_ALL if selection.ids and (missing or done.skipped) else 0

    def _to_all_that_match(self, alias: str, output: Output, options: dict[str, Any]) -> int:
        """Do it to all that a search finds, as a bulk operation that is carried out here."""
        search, action = searched(options), self.name.replace("-", "_")
        if options["dry_run"] or not options["yes"]:
            preview = bulk.preview(action, search, database=alias)
            count = Count(preview.count, preview.is_more)
            if not options["dry_run"]:
                about = "about " if preview.is_estimate else ""
                text = f"This would {self.infinitive} {about}{jobs(count)}."
                raise CommandError(f"{text} Add --yes to do it.")
            self._would(count, output, options, is_estimate=preview.is_estimate)
            return 0
        operation = bulk.start(action, search, by=operator(), rate=bulk.MOST_RATE, database=alias)
        carry_out(engine_for(alias), operation)
        done = Done(operation.done, operation.asked, operation.skipped)
        self._did(done, 0, output, options)
        return 0 if operation.state == BulkState.DONE else NOT_ALL

    def checked(self, selection: Selection) -> Selection:
        """Return *selection*; refuse what means everything, or what the verb cannot be for."""
        if selection.is_empty:
            text = f"{self.name}: expected numbers of jobs, or a filter."
            raise CommandError(text, returncode=WRONG_USAGE)
        if selection.is_of_succeeded and self.verb:
            text = f"{self.name}: a job that has succeeded has ended; only delete takes one."
            raise CommandError(text, returncode=WRONG_USAGE)
        return replace(selection, ids=tuple(dict.fromkeys(selection.ids)))

    def rows(self, selection: Selection, alias: str) -> Rows:
        """Return what is to be changed: what is named, or what filters find in a fitting state."""
        rows = observe.select(selection, alias)
        if selection.ids or not self.verb:
            return rows
        return rows.filter(state__in=sorted(states.origins(self.verb)))

    def _would(
        self,
        count: Count,
        output: Output,
        options: dict[str, Any],
        *,
        is_estimate: bool = False,
    ) -> None:
        if options["json"]:
            output.json({"dry_run": True, "count": count.number, "more": count.is_more})
            return
        about = "about " if is_estimate else ""
        output.line(f"This would {self.infinitive} {about}{jobs(count)}.")

    def _did(self, done: Done, missing: int, output: Output, options: dict[str, Any]) -> None:
        if options["json"]:
            output.json({"dry_run": False, **asdict(done), "missing": missing})
            return
        output.line(f"{jobs(done.done)} {self.past}.")
        if done.asked:
            output.line(f"{jobs(done.asked)} asked to stop.")
        if done.skipped:
            output.line(f"{jobs(done.skipped)} skipped: {self.why_skipped}.")


def _tell_missing(selection: Selection, missing: int, alias: str, output: Output) -> None:
    """Say what became of jobs that are named and not live."""
    succeeded = 0
    if not selection.is_of_succeeded:
        rows = SucceededJob._base_manager.using(alias)
        succeeded = min(rows.filter(pk__in=selection.ids).count(), missing)
    if succeeded:
        output.line(f"{jobs(succeeded)} succeeded already.")
    if missing > succeeded:
        output.line(f"{jobs(missing - succeeded)} not found.")
