"""What happened, one line of JSON each, in files that no trouble of a database reaches."""

from __future__ import annotations

import json
import os
import time
from functools import cache
from pathlib import Path
from typing import Any

FOLDER_VARIABLE = "CHAOS_FOLDER"

ENQUEUED, RAN = "enqueued", "ran"
"""What the producer did, and what the bodies did."""


def note(book: str, **fields: Any) -> None:
    """Add a line; from any process, since one short write at the end of a file is undivided."""
    line = json.dumps({"at": time.time(), "pid": os.getpid(), **fields}) + "\n"
    os.write(_file(book), line.encode())


@cache
def _file(book: str) -> int:
    path = Path(os.environ[FOLDER_VARIABLE], book)
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)


class Book:
    """The lines of one file, read as they come."""

    def __init__(self, folder: Path, book: str) -> None:
        self.path = folder / book
        self.lines: list[dict[str, Any]] = []
        self._offset = 0

    def read(self) -> list[dict[str, Any]]:
        """Return all lines that are there by now."""
        if self.path.exists():
            with self.path.open("rb") as file:
                file.seek(self._offset)
                new = file.read()
            new = new[: new.rfind(b"\n") + 1]
            self._offset += len(new)
            self.lines += map(json.loads, new.splitlines())
        return self.lines
