"""A real worker process, for a test that is to see one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from django.db import connections
from django.db.backends.base.creation import TEST_DATABASE_PREFIX

from django_jobflow import conf
from django_jobflow.models import JobRecord, SucceededJob
from django_jobflow.states import ENDED
from django_jobflow.testing.meaning import place_of
from django_jobflow.testing.process import TOLD

PATIENCE = 30.0  # seconds that each wait lasts at most, unless it is told otherwise
PAUSE = 0.02  # seconds between two looks
LOG_SHOWN = 20_000  # characters of the log in an error, its end

T = TypeVar("T")


class WorkerError(AssertionError):
    """The worker process ended by itself, or something did not happen in time."""


class LiveWorker:
    """A ``runjobs`` in a process of its own, on the databases of the test.

    It sees what is committed, so the test has to be a ``TransactionTestCase``, or to use
    ``transactional_db``. As a context manager it is started, and stopped at the end.

    Args:
        arguments: Those of ``runjobs``. It is one process, without a supervisor, unless
            ``--processes`` says otherwise.
        settings: Keys of ``JOBFLOW`` that are to be other than in the project's settings.

    Attributes:
        log: The file with what it has written to its terminal.
    """

    def __init__(self, *arguments: str, **settings: Any) -> None:
        self.arguments = arguments
        self.settings = settings
        self.log = Path(os.devnull)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> LiveWorker:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self.stop()
        finally:
            self.kill()
            self.log.unlink()

    @property
    def output(self) -> str:
        """What it has written so far."""
        return self.log.read_text(errors="replace")

    def start(self) -> None:
        """Start the process; what waits is worked off as soon as it is up.

        Raises:
            WorkerError: No other process can open the test's databases.
        """
        told = {"databases": _database_names(), "jobflow": self.settings}
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "PYTHONUNBUFFERED": "1",
            TOLD: json.dumps(told),
        }
        descriptor, log = tempfile.mkstemp(prefix="jobflow-worker-", suffix=".log")
        self.log = Path(log)
        with os.fdopen(descriptor, "wb") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "django_jobflow.testing.process", *self._options()],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that nothing it has started outlives the test
            )

    def _options(self) -> list[str]:
        own = any(each.startswith("--processes") for each in self.arguments)
        return [*self.arguments] if own else ["--processes=0", *self.arguments]

    def stop(self, timeout: float = PATIENCE) -> int:
        """Stop it as an operator does, and return its exit status.

        Raises:
            WorkerError: It has not ended in time, and was killed.
        """
        if self._process is None:
            return 0
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise self._error(f"to end within {timeout:g} s of SIGTERM, got none of it") from None

    def kill(self) -> None:
        """End it and all that it has started, at once."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def until(self, condition: Callable[[], T], timeout: float = PATIENCE) -> T:
        """Wait until *condition* returns something true, and return that.

        Raises:
            WorkerError: It did not in time, or the worker has ended.
        """
        deadline = time.monotonic() + timeout
        while not (found := condition()):
            if self._process is None or self._process.poll() is not None:
                status = None if self._process is None else self._process.returncode
                raise self._error(f"to work on, got exit status {status}")
            if time.monotonic() > deadline:
                name = getattr(condition, "__qualname__", repr(condition))
                raise self._error(f"to make {name} true within {timeout:g} s, got {found!r}")
            time.sleep(PAUSE)
        return found

    def wait_for(self, record: Any, timeout: float = PATIENCE) -> JobRecord | SucceededJob:
        """Wait until the job of *record* has ended, and return its record as it is then.

        Args:
            record: What ``enqueue`` has returned: a record, or the result of a task.

        Raises:
            WorkerError: It has not in time, or the worker has ended.
            JobRecord.DoesNotExist: It was deleted, or its success is not kept.
        """
        alias, pk = place_of(record)

        def ended() -> JobRecord | SucceededJob | None:
            found: JobRecord | SucceededJob = JobRecord.objects.using(alias).find(pk)
            is_live = isinstance(found, JobRecord) and found.state not in ENDED
            return None if is_live else found

        ended.__qualname__ = f"the end of job {pk}"
        found = self.until(ended, timeout)
        assert found is not None
        return found

    def _error(self, expected: str) -> WorkerError:
        return WorkerError(f"The worker: expected it {expected}.\n{self.output[-LOG_SHOWN:]}")


def _database_names() -> dict[str, str]:
    """Return the names of the test's databases.

    One that the test runner has not made is named all the same, so that nobody works on the
    project's own.
    """
    names: dict[str, str] = {}
    for alias in connections:
        connection: Any = connections[alias]
        own = str(connection.settings_dict["NAME"])
        of_test = str(connection.creation._get_test_db_name())
        names[alias] = own if own.startswith((of_test, TEST_DATABASE_PREFIX)) else of_test
    connection = connections[conf.current().DATABASE]
    if connection.vendor == "sqlite" and connection.is_in_memory_db():
        alias = connection.alias
        raise WorkerError(
            f"The worker: expected the test's database {alias!r} to be a file, got one in memory. "
            f"Set DATABASES[{alias!r}]['TEST'] = {{'NAME': 'a file'}}."
        )
    return names
