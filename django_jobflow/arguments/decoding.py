"""Arguments from JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import NoneType
from typing import Any

from django_jobflow.arguments.enums import read_enum
from django_jobflow.arguments.form import TAG
from django_jobflow.arguments.hiding import Hides, hides_nothing
from django_jobflow.arguments.instances import read_instance
from django_jobflow.arguments.refusal import Refusal, shown, step_to
from django_jobflow.arguments.scalars import READERS
from django_jobflow.exceptions import ArgumentError
from django_jobflow.sentences import Sentence
from django_jobflow.sentences import noop as _

EXPECTED = Sentence(_("stored arguments that can be read back"))
UNTAGGED = frozenset({int, str, bool, float, NoneType})

# What a reader raises for data that no writer has made.
MALFORMED = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError)


def decode(
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    name: str = "Arguments",
    hides: Hides = hides_nothing,
) -> tuple[list[Any], dict[str, Any]]:
    """Return the arguments that :func:`encode` was given.

    Args:
        name: The job's name, for the error.
        hides: Which arguments the error is not to show.

    Raises:
        ArgumentError: Something cannot be read back: a row or an Enum member that is gone,
            or data that ``encode`` has not written.

    Database:
        One statement for each model instance, by primary key. None for all else.
    """
    root = "args"
    try:
        items = read_items(list(args)) if args else []
        root = "kwargs"
        return items, read_members(kwargs)
    except Refusal as refusal:
        refusal.hide_in(hides)
        raise ArgumentError(refusal.sentence(name, EXPECTED, root)) from refusal.__cause__
    except RecursionError as error:
        text = _("%(name)s: expected %(expected)s, got %(root)s nested too deep.")
        told = {"expected": EXPECTED, "root": root}
        raise ArgumentError(Sentence(text, name=name, **told)) from error


def read_value(stored: Any) -> Any:
    """Return the value that *stored* stands for."""
    kind = type(stored)
    if kind in UNTAGGED:
        return stored
    if kind is list:
        return read_items(stored)
    if kind is not dict:
        raise Refusal(shown(stored))
    return read_tagged(stored) if TAG in stored else read_members(stored)


def read_items(stored: Any) -> list[Any]:
    """Return the values of a list."""
    if not isinstance(stored, list):
        raise Refusal(shown(stored))
    items: list[Any] = []
    try:
        for item in stored:
            items.append(read_value(item))
    except Refusal as refusal:
        refusal.passed(stored, step_to(len(items)), len(items))
        raise
    return items


def read_members(stored: Any) -> dict[str, Any]:
    """Return the values of an object without a tag, by key."""
    if not isinstance(stored, dict):
        raise Refusal(shown(stored))
    members: dict[str, Any] = {}
    key = ""
    try:
        for key, item in stored.items():
            members[key] = read_value(item)
    except Refusal as refusal:
        refusal.passed(stored, step_to(key), key)
        raise
    return members


def read_tagged(stored: dict[str, Any]) -> Any:
    """Return the value of a tagged object."""
    try:
        if len(stored) != 2:
            raise TypeError("not a tagged object")
        return TAGS[stored[TAG]](stored["value"])
    except MALFORMED as error:
        raise Refusal(shown(stored)) from error


def read_dict(stored: Any) -> dict[Any, Any]:
    pairs = read_items(stored)
    if any(type(pair) is not list for pair in pairs):
        raise TypeError("not a list of pairs")
    return dict(pairs)


def read_model(stored: Any) -> Any:
    return read_instance(stored, read_value)


TAGS: dict[str, Callable[[Any], Any]] = {
    **READERS,
    "tuple": lambda stored: tuple(read_items(stored)),
    "set": lambda stored: set(read_items(stored)),
    "frozenset": lambda stored: frozenset(read_items(stored)),
    "dict": read_dict,
    "enum": read_enum,
    "model": read_model,
}
