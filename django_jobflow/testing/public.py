"""Where each name that ``django_jobflow.testing`` offers comes from."""

# ruff: noqa: F401

from django_jobflow.outcomes import (
    Cancelled,
    Discarded,
    ErrorInfo,
    Failed,
    Outcome,
    Released,
    Snoozed,
    Succeeded,
)
from django_jobflow.testing.asserting import (
    aassert_enqueued,
    aenqueued,
    arefute_enqueued,
    assert_enqueued,
    enqueued,
    refute_enqueued,
)
from django_jobflow.testing.clock import travel
from django_jobflow.testing.draining import Drained, DrainError, adrain, drain
from django_jobflow.testing.executing import Executed
from django_jobflow.testing.inlining import inline
from django_jobflow.testing.kit import Jobflow
from django_jobflow.testing.single import arun_job, run_job
from django_jobflow.testing.worker import LiveWorker, WorkerError
