"""The values that a pickle writes as calls of their class, made by hand of plain parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any
from uuid import UUID

DATE_LENGTH, TIME_LENGTH, MOMENT_LENGTH = 4, 6, 10  # bytes
FOLD = 128  # is added to the month, or to the hour of a time alone


class NotPlain(ValueError):
    """There is more than plain data in it; says what."""


@dataclass(frozen=True, slots=True)
class Unbuilt:
    """A ``UUID`` whose number is still to come."""

    def with_state(self, state: Any) -> UUID:
        if type(state) is not dict or type(state.get("int")) is not int:
            raise NotPlain("it has a UUID without a number")
        return UUID(int=state["int"])


def rebuilt(path: str, arguments: tuple[Any, ...]) -> Any:
    """Return the value that the class at *path* would make of *arguments*.

    Raises:
        NotPlain: They are not what the class itself writes.
    """
    try:
        return BUILDERS[path](*arguments)
    except NotPlain:
        raise
    except (ArithmeticError, TypeError, ValueError) as error:
        raise NotPlain(f"it has a {path} that is none") from error


def _moment(state: bytes, zone: tzinfo | None = None) -> datetime:
    state = _checked(state, MOMENT_LENGTH)
    day, month_fold = _date(state[:2] + bytes([state[2] % FOLD]) + state[3:4]), state[2]
    clock = _time(state[4:])
    moment = datetime.combine(day, clock).replace(fold=int(month_fold >= FOLD))
    return moment.replace(tzinfo=_zone(zone))


def _date(state: bytes) -> date:
    state = _checked(state, DATE_LENGTH)
    return date(int.from_bytes(state[:2]), state[2], state[3])


def _time(state: bytes, zone: tzinfo | None = None) -> time:
    state = _checked(state, TIME_LENGTH)
    hour, fold = state[0] % FOLD, int(state[0] >= FOLD)
    microsecond = int.from_bytes(state[3:])
    return time(hour, state[1], state[2], microsecond, _zone(zone), fold=fold)


def _checked(state: Any, length: int) -> bytes:
    if type(state) is not bytes or len(state) != length:
        raise NotPlain("it has a moment that is none")
    return state


def _zone(zone: Any) -> timezone | None:
    if zone is None or type(zone) is timezone:
        return zone
    raise NotPlain("it has a moment in a time zone that is none")


def _offset(offset: timedelta) -> timezone:
    return timezone(offset)


def _duration(days: int, seconds: int, microseconds: int) -> timedelta:
    return timedelta(days, seconds, microseconds)


def _decimal(text: str) -> Decimal:
    if type(text) is not str:
        raise NotPlain("it has a Decimal that is none")
    return Decimal(text)


BUILDERS: dict[str, Callable[..., Any]] = {
    "datetime.datetime": _moment,
    "datetime.date": _date,
    "datetime.time": _time,
    "datetime.timezone": _offset,
    "datetime.timedelta": _duration,
    "decimal.Decimal": _decimal,
    "uuid.UUID": Unbuilt,
}
