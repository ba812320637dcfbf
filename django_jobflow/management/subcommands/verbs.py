"""``manage.py jobflow retry``, ``cancel``, ``run-now`` and ``delete``."""

from __future__ import annotations

from django_jobflow import operate
from django_jobflow.management.subcommands.acting import Acting
from django_jobflow.observe import Selection
from django_jobflow.observe.lists import Rows
from django_jobflow.operate import Done


class Retry(Acting):
    """Lets failed and cancelled jobs run again."""

    name = "retry"
    verb = "retry"
    help = "Let failed and cancelled jobs run again, from attempt 0."
    infinitive = "retry"
    past = "will run again"
    why_skipped = "neither failed nor cancelled, or another unfinished job holds the queue key"

    def act(self, rows: Rows, selection: Selection) -> Done:
        return operate.retry_many(rows)


class Cancel(Acting):
    """Cancels jobs that wait, and asks those that run to stop."""

    name = "cancel"
    verb = "cancel"
    help = "Cancel jobs that wait, and ask those that run to stop."
    infinitive = "cancel"
    past = "cancelled"
    why_skipped = "ended already"

    def act(self, rows: Rows, selection: Selection) -> Done:
        return operate.cancel_many(rows)


class RunNow(Acting):
    """Makes jobs due that wait for their time."""

    name = "run-now"
    verb = "run_now"
    help = "Make jobs due at once that wait for their time or for their retry."
    infinitive = "make due"
    past = "due now"
    why_skipped = "waiting for no time"

    def act(self, rows: Rows, selection: Selection) -> Done:
        return operate.run_now_many(rows)


class Delete(Acting):
    """Deletes jobs that do not run."""

    name = "delete"
    help = (
        "Delete jobs for good, but for those that run; with --state succeeded, from the history."
    )
    infinitive = "delete"
    past = "deleted"
    why_skipped = "running; cancel first"
    is_final = True

    def act(self, rows: Rows, selection: Selection) -> Done:
        if selection.is_of_succeeded:
            return operate.delete_succeeded_many(rows)
        return operate.delete_many(rows)
