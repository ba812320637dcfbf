"""Real worker processes on the test's databases."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

PATIENCE = 90  # seconds after which a test gives up waiting for a process


class WorkerProcess:
    """A ``runjobs`` that was started, and what it has written to its terminal."""

    def __init__(self, arguments: list[str], env: dict[str, str], log: Path) -> None:
        self.log = log
        self.file = log.open("w")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "django", "runjobs", *arguments],
            env=env,
            stdout=self.file,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that nothing it started outlives the test
        )

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        """Wait for its end; return its exit code."""
        return self.process.wait(PATIENCE)

    def stop(self) -> int:
        """Stop it as an operator does, and return its exit code."""
        if self.process.poll() is None:
            self.send(signal.SIGTERM)
        return self.wait()

    @property
    def output(self) -> str:
        return self.log.read_text()

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.file.close()


@pytest.fixture
def start_worker(worker_env, tmp_path) -> Iterator[Callable[..., WorkerProcess]]:
    """Start a worker process: ``start_worker("--drain", LEASE=2)``.

    It is one process without a supervisor, unless ``"--processes=1"`` or more is asked for.
    """
    started: list[WorkerProcess] = []

    def start(*arguments: str, **settings: Any) -> WorkerProcess:
        env = worker_env | {"JOBFLOW_TEST_SETTINGS": json.dumps(settings)}
        log = tmp_path / f"worker-{len(started)}.log"
        started.append(WorkerProcess(["--processes=0", *arguments], env, log))
        return started[-1]

    yield start
    for worker in started:
        worker.close()


@pytest.fixture
def until() -> Callable[[Callable[[], Any]], Any]:
    """Wait until a condition over another process holds; return what it returned."""

    def wait(condition: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + PATIENCE
        while not (found := condition()):
            assert time.monotonic() < deadline, f"{condition} did not come true"
            os.sched_yield()
            time.sleep(0.005)
        return found

    return wait
