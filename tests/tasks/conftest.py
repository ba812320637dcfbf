"""A worker inside the test's own process, and ears for Django's signals."""

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from django_jobflow.tasks.compat import task_finished, task_started
from django_jobflow.worker.options import WorkerOptions
from django_jobflow.worker.process import work


@pytest.fixture
def drain(transactional_db: None) -> Callable[..., int]:
    """Work off what can run now; return how many bodies were executed."""

    def run(**options: Any) -> int:
        return work(WorkerOptions(**{"database": "default", "drain": True, **options}))

    return run


@pytest.fixture
def heard() -> Iterator[list[Any]]:
    """What ``task_started`` and ``task_finished`` have said, in order.

    Each is the sender, the status, the attempts and the exception that was being handled.
    """
    said: list[Any] = []

    def hear(sender, task_result, **kwargs):
        error = sys.exc_info()[1]
        said.append((sender, task_result.status.value, task_result.attempts, error))

    task_started.connect(hear)
    task_finished.connect(hear)
    yield said
    task_started.disconnect(hear)
    task_finished.disconnect(hear)
