"""PostgreSQL: a statement that a body has executed and nobody has asked for, and its cursor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol
from weakref import ref


class Statement:
    """One that a body has executed, and that was not sent yet.

    Args:
        text: As it is sent, with its parameters: the body may use these anew.
        asker: Where somebody may ask for it, as long as he has that.

    Attributes:
        is_executed: Whether the driver's cursor knows what came of it.
    """

    __slots__ = ("_asker", "is_executed", "text")

    def __init__(self, text: str, asker: Unasked) -> None:
        self.text = text
        self.is_executed = False
        self._asker = ref(asker)

    @property
    def asker(self) -> Unasked | None:
        """Who may ask for it, if anybody still can."""
        asker = self._asker()
        return asker if asker is not None and asker.may_ask(self) else None


class Asked(Protocol):
    """What an ``Unasked`` asks."""

    def ask(self, statement: Statement) -> None:
        """Have *statement* executed by the cursor of its asker."""


class Unasked:
    """In the place of the driver's cursor until somebody asks what has come of a statement.

    The driver's is made as late as that: to make one takes as long as to keep a statement.

    Args:
        asked: Whom to ask.
        connection: Django's, which makes it.
        driver: The driver's cursor, if there is one already.

    Attributes:
        statement: What was executed by it last, if that was not sent then.
    """

    statement: Statement | None = None
    _driver: Any = None
    _is_closed = False

    def __init__(self, asked: Asked, connection: Any, driver: Any = None) -> None:
        _set(self, "_asked", asked)
        _set(self, "_connection", connection)
        if driver is not None:
            _set(self, "_driver", driver)

    @property
    def driver(self) -> Any:
        """The driver's cursor, which may not know the statement yet."""
        driver = self._driver
        if driver is None:
            driver = make_cursor(self._connection)
            _set(self, "_driver", driver)
            if self._is_closed:
                driver.close()
        return driver

    @property
    def has_driver(self) -> bool:
        """Whether it was made, for somebody who may have changed its settings."""
        return self._driver is not None

    @property
    def is_closed(self) -> bool:
        return bool(self._is_closed if self._driver is None else self._driver.closed)

    def keep(self, statement: Statement | None) -> None:
        """Take in what was executed now; what was before is forgotten."""
        _set(self, "statement", statement)

    def may_ask(self, statement: Statement) -> bool:
        """Say whether somebody may ask for *statement* by this cursor."""
        return self.statement is statement and not self.is_closed

    def execute_by_driver(self, statement: Statement, opening: str = "") -> None:
        """Execute it by the driver's cursor, by one message with *opening*."""
        self.driver.execute(opening + statement.text)
        pass_over(opening, self.driver)
        statement.is_executed = True

    def close(self) -> None:
        """Ask no more: a cursor that is closed has forgotten it."""
        _set(self, "_is_closed", True)
        if self._driver is not None:
            self._driver.close()

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
        setattr(self.driver, name, value)

    def _answered(self) -> Any:
        statement = self.statement
        if statement is not None and not statement.is_executed and not self.is_closed:
            self._asked.ask(statement)
        return self.driver


_set: Callable[[Unasked, str, object], None] = object.__setattr__


def make_cursor(connection: Any, name: str | None = None) -> Any:
    """Return a cursor of the driver's, as Django's *connection* makes it by itself."""
    return type(connection).create_cursor(connection, name)


def pass_over(opening: str, cursor: Any) -> None:
    """Have *cursor* show what came of the statement behind *opening*."""
    for _ in range(opening.count(";\n")):
        cursor.nextset()
