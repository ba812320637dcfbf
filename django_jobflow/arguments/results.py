"""What a job returns, as plain JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django_jobflow.arguments.advice import foreign
from django_jobflow.arguments.encoding import write_items, write_members
from django_jobflow.arguments.form import MAX_LEVELS, Json, dumps
from django_jobflow.arguments.refusal import Refusal, shown
from django_jobflow.arguments.scalars import (
    MAX_INT,
    MIN_INT,
    checked_float,
    checked_int,
    checked_text,
)
from django_jobflow.exceptions import InvalidResult


def encode_result(name: str, value: Any, *, max_size: int, hidden: bool = False) -> Json:
    """Return what ``perform`` returned as plain JSON, without tags.

    A tuple becomes a list, and a subclass of a JSON type its plain base. Numbers are as
    exact as the database keeps them: PostgreSQL returns 1e16 as an int.

    Args:
        name: The job's name, for the error.
        max_size: Most bytes that it may take as compact ASCII JSON.
        hidden: Whether the error is not to show it.

    Raises:
        InvalidResult: A value in it is not JSON, or there is too much of it.
    """
    if value is None:
        return None
    try:
        result = write_result(value, MAX_LEVELS)
    except Refusal as refusal:
        if hidden:
            refusal.hide()
        raise InvalidResult(
            refusal.sentence(name, "perform to return JSON", "result")
        ) from refusal.__cause__
    size = len(dumps(result))
    if size > max_size:
        raise InvalidResult(
            f"{name}: expected a result of at most {max_size} bytes, got {size}. "
            f"Store the data and return its key."
        )
    return result


def write_result(value: Any, room: int) -> Json:
    """Return *value* as plain JSON; *room* is how many levels it may have."""
    for base in type(value).__mro__:
        if base in WRITERS:
            return WRITERS[base](value, room)
    raise foreign(value)


def write_text(value: str, room: int) -> Json:
    return checked_text(str.__str__(value))


def write_int(value: int, room: int) -> Json:
    plain = int.__int__(value)
    if not MIN_INT <= plain <= MAX_INT:
        checked_int(plain)
    return plain


def write_float(value: float, room: int) -> Json:
    checked_float(value)
    return float.__float__(value)


def write_list(value: list[Any] | tuple[Any, ...], room: int) -> Json:
    return write_items(value, room, write_result)


def write_object(value: dict[Any, Any], room: int) -> Json:
    for key in value:
        if not issubclass(type(key), str):
            raise Refusal(f"the key {shown(key)}")
    members = write_members(value, room, write_result)
    return {str.__str__(key): item for key, item in members.items()}


WRITERS: dict[type, Callable[[Any, int], Json]] = {
    type(None): lambda value, room: None,
    bool: lambda value, room: bool(value),
    int: write_int,
    str: write_text,
    float: write_float,
    list: write_list,
    tuple: write_list,
    dict: write_object,
}
