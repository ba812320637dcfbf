"""Stored JSON as a person reads it: indented, and values with a tag by what they stand for."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, NamedTuple

from django.utils.translation import gettext as _

from django_jobflow.arguments import DOTS, HIDDEN, TAG

WIDTH = 88  # a list or an object that fits into so many characters stays on one line
BYTES_SHOWN = 60
TEXT_SHOWN = 100_000  # characters of one text

MALFORMED = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError)


class Container(NamedTuple):
    """A value with values in it: what opens it, its items behind their prefixes, what closes."""

    opening: str
    items: list[tuple[str, Any]]
    closing: str


def pretty(value: Any) -> str:
    """Return stored arguments, or any other JSON, as text.

    Nothing is imported and no row is read: a value whose class or row is gone is shown too.
    """
    return _shown(_shape, value)


def pretty_members(members: Any) -> str:
    """Return an object as text whose own keys are never a tag, as keyword arguments are."""
    return _shown(_members if isinstance(members, dict) else _shape, members)


def _shown(shape_of: Callable[[Any], str | Container], value: Any) -> str:
    text = io.StringIO()
    try:
        for line in _lines(shape_of(value)):
            text.write(f"{line[: TEXT_SHOWN + 1]}\n")
            if text.tell() > TEXT_SHOWN:
                return "\n".join([text.getvalue()[:TEXT_SHOWN], _("… the rest is not shown")])
    except RecursionError:
        return _json(f"{type(value).__name__} nested too deep to be shown")
    return text.getvalue().removesuffix("\n")


def _lines(
    shape: str | Container, indent: str = "", prefix: str = "", suffix: str = ""
) -> Iterator[str]:
    """Yield the lines of a value; what fits into one is on one."""
    flat = shape if isinstance(shape, str) else _flat(shape, WIDTH - len(indent))
    if flat is not None:
        yield f"{indent}{prefix}{flat}{suffix}"
        return
    assert isinstance(shape, Container)
    yield f"{indent}{prefix}{shape.opening}"
    last = len(shape.items) - 1
    for number, (label, item) in enumerate(shape.items):
        yield from _lines(_shape(item), f"{indent}  ", label, "," if number < last else "")
    yield f"{indent}{shape.closing}{suffix}"


def _flat(container: Container, room: int) -> str | None:
    """Return *container* on one line, or None if it takes more than *room* characters.

    It looks no further than that, so that nested lists do not cost their size at each level.
    """
    texts: list[str] = []
    room -= len(container.opening) + len(container.closing)
    for prefix, item in container.items:
        room -= len(prefix)
        shape = _shape(item) if room >= 0 else ""
        text = shape if isinstance(shape, str) else _flat(shape, room)
        if text is None or room < len(text):
            return None
        room -= len(text) + len(", ")
        texts.append(f"{prefix}{text}")
    return f"{container.opening}{', '.join(texts)}{container.closing}"


def _on_one_line(value: Any) -> str:
    shape = _shape(value)
    flat = shape if isinstance(shape, str) else _flat(shape, WIDTH)
    return "…" if flat is None else flat


def _shape(value: Any) -> str | Container:
    if value is HIDDEN:
        return DOTS
    if isinstance(value, list):
        return Container("[", [("", item) for item in value], "]")
    if not isinstance(value, dict):
        return _json(value)
    if set(value) == {TAG, "value"}:
        try:
            return TAGS[value[TAG]](value["value"])
        except MALFORMED:  # nothing that was written by an enqueue
            return _members(value)
    return _members(value)


def _members(value: dict[str, Any]) -> Container:
    return Container("{", [(f"{_json(key)}: ", item) for key, item in value.items()], "}")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _pairs(stored: Any) -> Container:
    return Container("{", [(f"{_on_one_line(key)}: ", item) for key, item in stored], "}")


def _moment(kind: str) -> Callable[[Any], str]:
    def shown(stored: Any) -> str:
        if isinstance(stored, str):
            return f"{kind} {stored}"
        text, zone, _fold = stored
        return " ".join(filter(None, [kind, text, zone]))

    return shown


def _timedelta(stored: Any) -> str:
    days, seconds, microseconds = stored
    return f"timedelta {timedelta(days=days, seconds=seconds, microseconds=microseconds)}"


def _bytes(stored: Any) -> str:
    data = base64.b64decode(stored, validate=True)
    more = "…" if len(data) > BYTES_SHOWN else ""
    return f"{data[:BYTES_SHOWN]!r}{more} ({len(data)} bytes)"


def _enum(stored: Any) -> str:
    _module, path, names = stored
    return " | ".join(f"{path}.{name}" for name in ([names] if isinstance(names, str) else names))


def _model(stored: Any) -> str:
    label, key, _alias = stored
    return f"{label} {_on_one_line(key)}"


def _sequence(opening: str, closing: str) -> Callable[[Any], Container]:
    return lambda stored: Container(opening, [("", item) for item in list(stored)], closing)


TAGS: dict[str, Callable[[Any], str | Container]] = {
    "int": str,
    "float": str,
    "datetime": _moment("datetime"),
    "date": _moment("date"),
    "time": _moment("time"),
    "timedelta": _timedelta,
    "decimal": lambda stored: f"Decimal {stored}",
    "uuid": lambda stored: f"UUID {stored}",
    "bytes": _bytes,
    "tuple": _sequence("(", ")"),
    "set": _sequence("set {", "}"),
    "frozenset": _sequence("frozenset {", "}"),
    "dict": _pairs,
    "enum": _enum,
    "model": _model,
}
