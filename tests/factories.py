"""Rows for tests: those that the package has for its users."""

from django_jobflow.testing.factories import (
    ATTEMPTED,
    WORKER,
    FailedJobFactory,
    FailureGroupFactory,
    JobLogFactory,
    JobRecordFactory,
    SucceededJobFactory,
    WorkerFactory,
    error_entry,
)
from django_jobflow.testing.factories import LimitFactory as AnyLimitFactory
from django_jobflow.testing.factories import PauseFactory as AnyPauseFactory

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


class LimitFactory(AnyLimitFactory):
    """One of a queue that the tests know."""

    value = "email"


class PauseFactory(AnyPauseFactory):
    """One of a queue that the tests know."""

    value = "email"
