"""The process that speaks for one side: requests come in by line as JSON, answers go out.

``python -m benchmarks.client MODULE:CLASS`` is started by ``Client`` and ends with its input.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import subprocess
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.peers.base import NotOffered, Side

REPOSITORY = Path(__file__).parent.parent


class ClientError(Exception):
    """The side could not do what it was asked for; says why."""


class Client:
    """The benchmark's end of such a process; each of the side's verbs is a method."""

    def __init__(self, target: str, environment: Mapping[str, str], log: Path) -> None:
        self.log = log
        with log.open("a") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.client", target],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=dict(environment),
                cwd=REPOSITORY,
                text=True,
            )

    def ask(self, verb: str, **arguments: Any) -> Any:
        """Have the side do something, and return its answer.

        Raises:
            NotOffered: The side has no such thing.
            ClientError: It failed.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps([verb, arguments]) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise ClientError(f"{verb}: the client ended. {last_lines(self.log)}")
        kind, answer = json.loads(line)
        if kind == "not offered":
            raise NotOffered(answer)
        if kind == "failed":
            raise ClientError(f"{verb}: {answer}")
        return answer

    def close(self) -> None:
        """End the process."""
        try:
            self.process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()


def last_lines(log: Path, count: int = 3) -> str:
    """Return the end of a log on one line."""
    return " / ".join(log.read_text(errors="replace").strip().splitlines()[-count:])


def serve(side: Side) -> None:
    """Answer requests until there are no more."""
    # What a library prints must not be taken for an answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        verb, arguments = json.loads(line)
        try:
            answer = ["done", VERBS.get(verb, _of_side(side, verb))(**arguments)]
        except NotOffered as error:
            answer = ["not offered", str(error)]
        except Exception as error:  # told to the benchmark, which goes on with the next side
            traceback.print_exc()
            answer = ["failed", f"{type(error).__name__}: {error}"]
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _of_side(side: Side, verb: str) -> Any:
    return getattr(side, verb, None)


def peak_memory() -> int:
    """Return the most memory that this process ever had, in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


VERBS = {"peak_memory": peak_memory}

if __name__ == "__main__":
    module, _, name = sys.argv[1].partition(":")
    serve(getattr(importlib.import_module(module), name)())
