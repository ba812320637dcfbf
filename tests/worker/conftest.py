"""A worker inside the test's own process, on the test's real database."""

from collections.abc import Callable
from typing import Any

import pytest

from django_jobflow.worker.options import WorkerOptions
from django_jobflow.worker.process import work
from tests.worker.groups import grouped, run, slot

__all__ = ["grouped", "run", "slot"]


@pytest.fixture
def drain(transactional_db: None) -> Callable[..., int]:
    """Work off what can run now; return how many bodies were executed."""

    def run(**options: Any) -> int:
        return work(WorkerOptions(**{"database": "default", "drain": True, **options}))

    return run
