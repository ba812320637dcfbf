"""Other processes of this project, which end when the demo ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from django.conf import settings

PATIENCE = 30  # seconds that a process gets to end after SIGTERM
MANAGE = settings.BASE_DIR / "manage.py"


class Process:
    """``manage.py`` with *arguments*, in a session of its own, between ``with`` and its end.

    Being in another session it hears no Ctrl-C: whoever started it stops it, in good order.
    """

    def __init__(self, *arguments: str, environment: Mapping[str, str], log: Path) -> None:
        self.arguments = arguments
        self.environment = os.environ | environment
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Process":
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def _start(self) -> None:
        # A Ctrl-C in here would leave behind a process that nobody knows yet.
        with self.log.open("wb") as log, deferred_signals():
            self._process = subprocess.Popen(
                [sys.executable, str(MANAGE), *self.arguments],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __exit__(self, *exception: object) -> None:
        self.stop()

    @property
    def has_ended(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def stop(self) -> int:
        """End the process with SIGTERM, or by force when it takes too long; return its code."""
        if self._process is None:
            return 0
        try:
            self._process.terminate()
            return self._process.wait(PATIENCE)
        except BaseException:  # too slow, or a second Ctrl-C: leave nothing behind
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            raise

    def last_words(self, lines: int = 20) -> str:
        """Return the end of the log."""
        text = self.log.read_text("utf-8", "replace")
        return "\n".join(text.splitlines()[-lines:])


@contextmanager
def deferred_signals() -> Iterator[None]:
    """Let the signals that end the demo take effect afterwards only."""
    came: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, lambda came_in, _: came.append(came_in)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
    for number in came[:1]:
        signal.raise_signal(number)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into an exception, so that what was started is stopped."""

    def end(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, end) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
