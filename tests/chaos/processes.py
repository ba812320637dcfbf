"""The processes of a chaos run: hosts with their workers, and what enqueues."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

BEGUN = re.compile(rb"worker_started .*?worker=\S+?:(\d+):")  # as the log tells it

PAUSE = 0.3  # seconds before a system starts anew what has ended
# Waits for a word, or for the end of the process that would say it; then nothing may be left.
GUARD = """
groups=" "
while read -r what group; do
    case "$what" in
        add) groups="$groups-$group " ;;
        forget) groups=$(echo "$groups" | sed "s/ -$group / /") ;;
        done) exit ;;
    esac
done
kill -KILL $groups 2>/dev/null
umount --lazy "$1/database/disk" 2>/dev/null
rm -rf "$1"
"""


class Guard:
    """Ends all process groups that it was told of when this process is killed."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", GUARD, "guard", folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )

    def add(self, group: int) -> None:
        self._say(f"add {group}")

    def forget(self, group: int) -> None:
        """Leave a group alone that is no more: another may come to have its number."""
        self._say(f"forget {group}")

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        self._process.stdin.flush()

    def release(self) -> None:
        self._process.communicate(b"done\n")


class Started:
    """A process that was started, in a group of its own, and again when it has ended.

    Attributes:
        groups: The ids of those of which something may be left, the latest last.
        starts: How often it was started.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], log: Path, guard: Guard
    ) -> None:
        self.command = [sys.executable, "-m", *command]
        self.environment = dict(environment)
        self.log = log
        self.guard = guard
        self.groups: list[int] = []
        self.starts = 0
        self._ended_at: float | None = None
        self.start()

    def start(self) -> None:
        self.starts += 1
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.groups.append(self.process.pid)
        self.guard.add(self.process.pid)
        self._ended_at = None

    def _forget_gone(self) -> None:
        """Forget the groups of which nothing is left: their numbers are given to others."""
        for group in [group for group in self.groups if not _lives(group)]:
            self.groups.remove(group)
            self.guard.forget(group)

    def tend(self) -> None:
        """Start it anew if it has ended a moment ago, as a system does."""
        self._forget_gone()
        if self.process.poll() is None:
            return
        now = time.monotonic()
        self._ended_at = self._ended_at or now
        if now >= self._ended_at + PAUSE:
            self.start()

    @property
    def is_up(self) -> bool:
        return self.process.poll() is None

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def children(self) -> list[int]:
        """Return the processes that it has forked, and not yet reaped."""
        pid = self.process.pid
        try:
            listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        except OSError:
            return []
        return [int(child) for child in listed.split()]

    def kill(self) -> None:
        """Kill it, and all that it has started: the host dies."""
        self._forget_gone()
        for group in self.groups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        self.process.wait()

    def send(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)

    def send_all(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def stop(self, patience: float) -> int:
        """Stop it as an operator does; return its exit code."""
        self.send(signal.SIGTERM)
        return self.process.wait(patience)

    def is_gone(self) -> bool:
        """Say whether nothing is left of all that it ever started."""
        self._forget_gone()
        return not self.groups


class Host(Started):
    """A supervisor with its workers."""

    def __init__(
        self, number: int, options: Sequence[str], environment: Mapping[str, str], **others: Any
    ) -> None:
        log = others.pop("folder") / f"host-{number}.log"
        super().__init__(["django", "runjobs", *options], environment, log, **others)
        self._begun: set[int] = set()
        self._read_to = 0

    def workers(self) -> list[int]:
        """Return its worker processes that have begun to work."""
        with self.log.open("rb") as file:
            file.seek(self._read_to)
            new = file.read()
        new = new[: new.rfind(b"\n") + 1]
        self._read_to += len(new)
        self._begun.update(map(int, BEGUN.findall(new)))
        return [pid for pid in self.children() if pid in self._begun]

    def begun(self) -> set[int]:
        """Return all that ever began to work."""
        self.workers()
        return set(self._begun)


class Producer(Started):
    """What enqueues."""

    def __init__(self, seed: str, pause: float, environment: Mapping[str, str], **others: Any):
        log = others.pop("folder") / "producer.log"
        self.seed = seed
        command = ["tests.chaos.produce", f"--pause={pause}"]
        super().__init__([*command, f"--seed={seed}"], environment, log, **others)

    def start(self) -> None:
        # Another begins with keys of its own.
        self.command[-1] = f"--seed={self.seed}.{self.starts}"
        super().start()


def _lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
