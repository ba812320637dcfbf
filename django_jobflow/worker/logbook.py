"""What one attempt logs, kept in memory until it is written.

Lines are taken where Python makes their records, and not by a handler: one on the root logger
would not see what a logger with ``propagate`` off says, and would keep the warnings of a project
without any handler from its standard error.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from typing import Any, NamedTuple

from django_jobflow.logs import BYTES, LINE_LENGTH, LINES
from django_jobflow.outcomes import ErrorInfo, storable

HEAD = LINE_LENGTH * 3 // 5  # characters that are kept of the beginning of a line
CUT = " … "

Entry = tuple[float, str, str, str]
"""When, level, logger, message."""


class Pages(NamedTuple):
    """What a book has at a moment; ``total`` counts the lines that are left out, too."""

    entries: list[Entry]
    total: int

    @property
    def left_out(self) -> int:
        return self.total - len(self.entries)


class Logbook:
    """The newest lines of one attempt; taken in from any thread.

    Args:
        level: Lines below it are not kept.

    Attributes:
        is_open: Whether lines are taken in.
        written: How many lines there were when it was written.
    """

    def __init__(self, level: int) -> None:
        self.level = level
        self.is_open = True
        self.written = 0
        # Reentrant: what is deleted while a line is taken in may log.
        self._lock = threading.RLock()
        self._entries: deque[Entry] = deque()
        self._count = 0
        self._size = 0

    @classmethod
    def of(cls, pages: Pages) -> Logbook:
        """Return a closed book that has these *pages*."""
        book = cls(logging.NOTSET)
        book._entries.extend(pages.entries)
        book._count = pages.total
        book.close()
        return book

    def open(self) -> None:
        """Take lines in."""
        self.is_open = True

    def close(self) -> None:
        """Take no more lines in: the attempt has ended."""
        self.is_open = False

    @property
    def has_news(self) -> bool:
        """Whether there are lines that are not written."""
        return self._count != self.written

    def take(self, record: logging.LogRecord) -> None:
        """Take in a record of a logger."""
        # One that is made of the parts of another has none of them yet.
        if record.name and self.is_open and record.levelno >= self.level:
            self._add((record.created, record.levelname, record.name, _text(record)))

    def note(self, level: int, logger: str, message: str) -> None:
        """Take in what a body notes without a logger."""
        if self.is_open and level >= self.level:
            self._add((time.time(), logging.getLevelName(level), logger, message))

    def pages(self) -> Pages:
        """Return what there is now."""
        with self._lock:
            return Pages(list(self._entries), self._count)

    def _add(self, entry: Entry) -> None:
        created, *texts, message = entry
        level, logger = (storable(text[:100]) for text in texts)
        kept = created, level, logger, storable(_shortened(message))
        with self._lock:
            self._entries.append(kept)
            self._count += 1
            self._size += _size(kept)
            while len(self._entries) > LINES or self._size > BYTES:
                self._size -= _size(self._entries.popleft())


_current: ContextVar[Logbook | None] = ContextVar("jobflow_logbook", default=None)
_installing = threading.Lock()
_is_installed = False


def use(book: Logbook | None) -> None:
    """Let *book* take what this thread or task logs from now on."""
    if book is not None and not _is_installed:
        _install()
    _current.set(book)


def _install() -> None:
    """Look at all records from now on; a process without such jobs never comes here."""
    global _is_installed
    with _installing:
        if not _is_installed:
            logging.setLogRecordFactory(partial(_make, logging.getLogRecordFactory()))
            _is_installed = True


def _make(
    former: Callable[..., logging.LogRecord], *args: Any, **kwargs: Any
) -> logging.LogRecord:
    """Make a record as before, and show it to the book of this thread or task."""
    record = former(*args, **kwargs)
    if (book := _current.get()) is not None:
        book.take(record)
    return record


def _text(record: logging.LogRecord) -> str:
    try:
        text = record.getMessage()
    except Exception as error:  # its arguments do not fit, or cannot be shown
        text = f"{_raw(record)} ({type(error).__name__} while it was formatted)"
    logged = record.exc_info[1] if record.exc_info else None
    return text if logged is None else f"{text}\n{ErrorInfo.of(logged).traceback}".rstrip()


def _raw(record: logging.LogRecord) -> str:
    return record.msg if isinstance(record.msg, str) else f"<{type(record.msg).__name__}>"


def _shortened(text: str) -> str:
    if len(text) <= LINE_LENGTH:
        return text
    return f"{text[:HEAD]}{CUT}{text[HEAD + len(CUT) - LINE_LENGTH :]}"


def _size(entry: Entry) -> int:
    return len(entry[-1].encode())
