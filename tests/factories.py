"""Rows for tests: those that the package has for its users."""

from django_jobflow.testing.factories import (
    ATTEMPTED,
    WORKER,
    FailedJobFactory,
    FailureGroupFactory,
    JobLogFactory,
    JobRecordFactory,
    LimitFactory,
    PauseFactory,
    SucceededJobFactory,
    WorkerFactory,
    error_entry,
)

__all__ = [
    "ATTEMPTED",
    "WORKER",
    "FailedJobFactory",
    "FailureGroupFactory",
    "JobLogFactory",
    "JobRecordFactory",
    "LimitFactory",
    "PauseFactory",
    "SucceededJobFactory",
    "WorkerFactory",
    "error_entry",
]
