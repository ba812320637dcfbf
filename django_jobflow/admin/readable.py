"""Stored JSON as a person reads it: indented, and values with a tag by what they stand for."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

from django_jobflow.arguments.form import TAG

WIDTH = 88  # a list or an object that fits into so many characters stays on one line
BYTES_SHOWN = 60

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
    try:
        shape = shape_of(value)
        return shape if isinstance(shape, str) else _laid_out(shape, "")
    except RecursionError:
        return _json(f"{type(value).__name__} nested too deep to be shown")


def _pretty(value: Any, indent: str) -> str:
    shape = _shape(value)
    return shape if isinstance(shape, str) else _laid_out(shape, indent)


def _laid_out(container: Container, indent: str) -> str:
    flat = _flat(container)
    if not container.items or len(indent) + len(flat) <= WIDTH:
        return flat
    inner = f"{indent}  "
    lines = [f"{inner}{prefix}{_pretty(item, inner)}" for prefix, item in container.items]
    body = ",\n".join(lines)
    return f"{container.opening}\n{body}\n{indent}{container.closing}"


def _flat(container: Container) -> str:
    items = ", ".join(f"{prefix}{_flat_value(item)}" for prefix, item in container.items)
    return f"{container.opening}{items}{container.closing}"


def _flat_value(value: Any) -> str:
    shape = _shape(value)
    return shape if isinstance(shape, str) else _flat(shape)


def _shape(value: Any) -> str | Container:
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
    return Container("{", [(f"{_flat_value(key)}: ", item) for key, item in stored], "}")


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
    return f"{label} {_flat_value(key)}"


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
