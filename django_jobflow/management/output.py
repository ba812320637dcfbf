"""What the commands print, and how."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import OutputWrapper
from django.core.management.color import Style

from django_jobflow.arguments import DOTS, HIDDEN

GAP = "  "  # between two columns
NOTHING = "-"  # in a cell


class Output:
    """Writes tables, facts and JSON.

    Args:
        is_quiet: Print nothing: who asks wants the exit code alone.
    """

    def __init__(self, stdout: OutputWrapper, style: Style, *, is_quiet: bool = False) -> None:
        self.stdout = stdout
        self.style = style
        self.is_quiet = is_quiet

    def json(self, value: Any) -> None:
        """Write *value* as one JSON document; moments in ISO 8601, spans in seconds."""
        self.line(json.dumps(value, indent=2, ensure_ascii=False, default=_as_json))

    def line(self, text: str) -> None:
        """Write one line, or text that has its own."""
        if not self.is_quiet:
            self.stdout.write(text)

    def table(
        self, heads: Sequence[str], rows: Iterable[Sequence[Any]], *, numbers: Iterable[str] = ()
    ) -> None:
        """Write a table.

        Args:
            numbers: Heads of the columns whose cells end below each other.
        """
        cells = [[_cell(value) for value in row] for row in rows]
        widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
        right = {heads.index(head) for head in numbers}
        self.line(self.style.HTTP_INFO(_row([head.upper() for head in heads], widths, right)))
        for row in cells:
            self.line(_row(row, widths, right))

    def facts(self, facts: Iterable[tuple[str, Any]]) -> None:
        """Write labels, each with its value behind it; those without one are left out."""
        shown = [(label, _cell(value)) for label, value in facts if value not in (None, "")]
        width = max((len(label) for label, _ in shown), default=0)
        for label, value in shown:
            self.line(f"{label:{width}}{GAP}{value}")

    def text(self, title: str, text: str) -> None:
        """Write a title and, indented below it, text that keeps its lines."""
        self.line(f"\n{self.style.HTTP_INFO(title)}")
        for line in text.splitlines():
            self.line(f"{GAP}{printable(line)}".rstrip())


def printable(text: str) -> str:
    """Return *text* with what would command a terminal written out.

    Jobs and those who enqueue them choose names, keys and messages.
    """
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )


def _cell(value: Any) -> str:
    return NOTHING if value in (None, "") else printable(str(value).replace("\xa0", " "))


def _row(cells: Sequence[str], widths: Sequence[int], right: set[int]) -> str:
    aligned = [
        cell.rjust(width) if number in right else cell.ljust(width)
        for number, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return GAP.join(aligned).rstrip()


def _as_json(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if value is HIDDEN:
        return DOTS
    raise TypeError(f"{value!r} has no form in JSON.")
