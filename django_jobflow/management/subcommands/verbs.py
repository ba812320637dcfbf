"""``manage.py jobflow retry``, ``cancel``, ``run-now`` and ``delete``."""

from __future__ import annotations

from django_jobflow import operate
from django_jobflow.management.operator import operator
from django_jobflow.management.selecting import subject_of
from django_jobflow.management.subcommands.acting import Acting
from django_jobflow.observe import Selection
from django_jobflow.observe.lists import Rows
from django_jobflow.operate import Done


class Retry(Acting):
    """Lets failed and cancelled jobs run again."""

    name = "retry"
    verb = "retry"
    many = operate.retry_many
    help = "Let failed and cancelled jobs run again, from attempt 0."
    infinitive = "retry"
    past = "will run again"
    why_skipped = "neither failed nor cancelled, or another unfinished job holds the queue key"


class Cancel(Acting):
    """Cancels jobs that wait, and asks those that run to stop."""

    name = "cancel"
    verb = "cancel"
    many = operate.cancel_many
    help = "Cancel jobs that wait, and ask those that run to stop."
    infinitive = "cancel"
    past = "cancelled"
    why_skipped = "ended already"


class RunNow(Acting):
    """Makes jobs due that wait for their time."""

    name = "run-now"
    verb = "run_now"
    many = operate.run_now_many
    help = "Make jobs due at once that wait for their time or for their retry."
    infinitive = "make due"
    past = "due now"
    why_skipped = "waiting for no time"


class Delete(Acting):
    """Deletes jobs that do not run."""

    name = "delete"
    many = operate.delete_many
    help = (
        "Delete jobs for good, but for those that run; with --state succeeded, from the history."
    )
    infinitive = "delete"
    past = "deleted"
    why_skipped = "running; cancel first"
    is_final = True

    def act(self, rows: Rows, selection: Selection) -> Done:
        if selection.is_of_succeeded:
            subject = subject_of(selection)
            return operate.delete_succeeded_many(rows, by=operator(), subject=subject)
        return super().act(rows, selection)
