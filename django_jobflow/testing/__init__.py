"""What tests of code that enqueues need.

Importing the package imports no model, so that a worker process may begin here; the names are
loaded when they are asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django_jobflow.testing.public import (
        Cancelled,
        Discarded,
        Drained,
        DrainError,
        ErrorInfo,
        Executed,
        Failed,
        Jobflow,
        LiveWorker,
        Outcome,
        Released,
        Snoozed,
        Succeeded,
        WorkerError,
        aassert_enqueued,
        adrain,
        aenqueued,
        arefute_enqueued,
        arun_job,
        assert_enqueued,
        drain,
        enqueued,
        inline,
        refute_enqueued,
        run_job,
        travel,
    )

__all__ = [
    "Cancelled",
    "Discarded",
    "DrainError",
    "Drained",
    "ErrorInfo",
    "Executed",
    "Failed",
    "Jobflow",
    "LiveWorker",
    "Outcome",
    "Released",
    "Snoozed",
    "Succeeded",
    "WorkerError",
    "aassert_enqueued",
    "adrain",
    "aenqueued",
    "arefute_enqueued",
    "arun_job",
    "assert_enqueued",
    "drain",
    "enqueued",
    "inline",
    "refute_enqueued",
    "run_job",
    "travel",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from django_jobflow.testing import public

    return getattr(public, name)
