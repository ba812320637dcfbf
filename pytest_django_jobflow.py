"""The pytest plugin of django_jobflow: the fixtures ``jobflow`` and ``jobflow_worker``.

pytest loads it in every project that has django_jobflow installed, so it stands outside of the
package and imports nothing of it, nor of Django, before a test asks for a fixture.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from django_jobflow.testing import Jobflow, LiveWorker

MARKER = (
    "jobflow_worker(*arguments, **settings): arguments of runjobs, and keys of JOBFLOW, for the "
    "worker process of the fixture jobflow_worker."
)

worker_key = pytest.StashKey["LiveWorker"]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)


@pytest.fixture
def jobflow(db: None) -> Iterator[Jobflow]:
    """The tools of ``django_jobflow.testing``; with the database, like ``db``."""
    from django_jobflow.testing import Jobflow

    kit = Jobflow()
    try:
        yield kit
    finally:
        kit.close()


@pytest.fixture
def jobflow_worker(request: pytest.FixtureRequest, transactional_db: None) -> Iterator[LiveWorker]:
    """A worker process on the test's databases, stopped at the end; its log is shown on failure.

    The marker ``jobflow_worker`` says with which arguments and settings.
    """
    from django_jobflow.testing import LiveWorker

    arguments: list[str] = []
    settings: dict[str, Any] = {}
    for mark in reversed([*request.node.iter_markers("jobflow_worker")]):
        arguments += mark.args
        settings |= mark.kwargs
    with LiveWorker(*arguments, **settings) as worker:
        request.node.stash[worker_key] = worker
        yield worker


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    worker = item.stash.get(worker_key, None)
    if worker is not None and report.failed and report.when == "call":
        report.sections.append(("Log of the jobflow worker", worker.output))
    return report
