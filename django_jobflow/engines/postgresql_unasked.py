"""PostgreSQL: a statement that a body has executed and nobody has asked for, and its cursor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from weakref import ref


class Statement:
    """One that a body has executed, and that was not sent yet.

    Args:
        text: As it is sent, with its parameters: the body may use these anew.
        cursor: The driver's, for whoever asks.
        execute: Has *cursor* execute a text.

    Attributes:
        asker: What somebody has who may ask, as long as he has it.
        is_executed: Whether the cursor knows what came of it.
    """

    def __init__(self, text: str, cursor: Any, execute: Callable[[str], object]) -> None:
        self.text = text
        self.cursor = cursor
        self.asker: ref[Unasked] | None = None
        self.is_executed = False
        self._execute = execute

    @property
    def may_be_asked(self) -> bool:
        """Whether somebody still can."""
        is_held = self.asker is not None and self.asker() is not None
        return is_held and not self.cursor.closed

    def execute(self, opening: str = "") -> None:
        """Execute it by its own cursor, by one message with *opening*."""
        self._execute(opening + self.text)
        pass_over(opening, self.cursor)
        self.is_executed = True


class Unasked:
    """In the place of the driver's cursor until somebody asks what has come of a statement."""

    __slots__ = ("__weakref__", "_ask", "statement")

    statement: Statement

    def __init__(self, statement: Statement, ask: Callable[[Statement], None]) -> None:
        object.__setattr__(self, "statement", statement)
        object.__setattr__(self, "_ask", ask)
        statement.asker = ref(self)

    def close(self) -> None:
        """Ask no more: a cursor that is closed has forgotten it."""
        self.statement.cursor.close()

    def __enter__(self) -> Unasked:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._answered())

    def __next__(self) -> Any:
        return next(self._answered())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._answered(), name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self.statement.cursor, name, value)

    def _answered(self) -> Any:
        cursor = self.statement.cursor
        if not self.statement.is_executed and not cursor.closed:
            self._ask(self.statement)
        return cursor


def pass_over(opening: str, cursor: Any) -> None:
    """Have *cursor* show what came of the statement behind *opening*."""
    for _ in range(opening.count(";\n")):
        cursor.nextset()
