"""Background jobs for Django, kept in the project's own database."""

from django_jobflow.backoff import Exponential, Immediate, Levels, Linear
from django_jobflow.declare import Definition, Job, JobContext, current_context, job
from django_jobflow.exceptions import (
    ArgumentError,
    Cancel,
    CancelInterrupt,
    Discard,
    DuplicateJob,
    InvalidJob,
    InvalidResult,
    JobflowError,
    JobInterrupt,
    JobTimeout,
    NotCancellable,
    NotRetryable,
    ReservationLost,
    Retry,
    Snooze,
    TimeoutInterrupt,
    UnknownJob,
    WorkerLost,
)
from django_jobflow.states import JobState

__version__ = "0.1.0"

__all__ = [
    "ArgumentError",
    "Cancel",
    "CancelInterrupt",
    "Definition",
    "Discard",
    "DuplicateJob",
    "Exponential",
    "Immediate",
    "InvalidJob",
    "InvalidResult",
    "Job",
    "JobContext",
    "JobInterrupt",
    "JobState",
    "JobTimeout",
    "JobflowError",
    "Levels",
    "Linear",
    "NotCancellable",
    "NotRetryable",
    "ReservationLost",
    "Retry",
    "Snooze",
    "TimeoutInterrupt",
    "UnknownJob",
    "WorkerLost",
    "__version__",
    "current_context",
    "job",
]
