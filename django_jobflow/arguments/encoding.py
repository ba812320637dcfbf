"""Arguments into JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from math import inf
from types import NoneType
from typing import Any

from django.utils.functional import LazyObject, empty

from django_jobflow.arguments.advice import foreign
from django_jobflow.arguments.decoding import read_value
from django_jobflow.arguments.enums import write_enum
from django_jobflow.arguments.form import KEY_LEVELS, MAX_LEVELS, TAG, Json, dumps, tagged
from django_jobflow.arguments.hiding import Hides, hides_nothing
from django_jobflow.arguments.instances import write_instance
from django_jobflow.arguments.refusal import Refusal, shown, step_to
from django_jobflow.arguments.scalars import MAX_INT, MIN_INT, PLAIN, WRITERS, checked_text
from django_jobflow.exceptions import ArgumentError
from django_jobflow.sentences import Sentence
from django_jobflow.sentences import noop as _

STORE = _("Store the data and pass its key.")
EXPECTED = Sentence(_("arguments that can be stored as JSON"))
SHORT = frozenset({bool, NoneType})


def encode(
    name: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    max_size: int,
    hides: Hides = hides_nothing,
) -> tuple[list[Json], dict[str, Json]]:
    """Return *args* and *kwargs* as JSON values that share nothing with them.

    Args:
        name: The job's name, for the error.
        max_size: Most bytes that both together may take as compact ASCII JSON.
        hides: Which arguments the error is not to show.

    Raises:
        ArgumentError: A value cannot be stored, or there is too much of it.
    """
    if are_plain(args, kwargs, max_size):
        return list(args), dict(kwargs)
    stored = encode_values(name, args, kwargs, hides)
    check_size(name, len(dumps(stored)), max_size)
    return stored


def encode_text(
    name: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    max_size: int,
    hides: Hides = hides_nothing,
) -> tuple[str, str]:
    """Return what :func:`encode` does as two compact ASCII texts, ready to be inserted."""
    if are_plain(args, kwargs, max_size):
        stored: tuple[list[Any], dict[str, Any]] = list(args), dict(kwargs)
        return dumps(stored[0]) if args else "[]", dumps(stored[1]) if kwargs else "{}"
    stored = encode_values(name, args, kwargs, hides)
    args_text = dumps(stored[0]) if stored[0] else "[]"
    kwargs_text = dumps(stored[1]) if stored[1] else "{}"
    check_size(name, len(args_text) + len(kwargs_text) + 3, max_size)
    return args_text, kwargs_text


def are_plain(args: Sequence[Any], kwargs: Mapping[str, Any], max_size: int) -> bool:
    """Tell whether all of it is fit to be stored as it is, and certainly not too much."""
    size = 7.0
    for value in args:
        size += most_bytes(value)
    for key, value in kwargs.items():
        # As two escapes of six characters a letter, at worst.
        size += (12 * len(key) + 3 if key.isidentifier() else inf) + most_bytes(value)
    return size <= max_size


def most_bytes(value: object) -> float:
    """Return the most bytes that *value* takes as it is, with a comma; inf if not as it is."""
    kind = type(value)
    if kind is int:
        return 22 if MIN_INT <= value <= MAX_INT else inf  # type: ignore[operator]
    if kind is str:
        ascii_only = value.isascii() and "\0" not in value  # type: ignore[attr-defined, operator]
        return 6 * len(value) + 3 if ascii_only else inf  # type: ignore[arg-type]
    if kind is float:  # of 17 digits and no exponent
        return 25 if 1e-4 <= abs(value) < 1e16 else inf  # type: ignore[arg-type]
    return 6 if kind in SHORT else inf


def encode_values(
    name: str, args: Sequence[Any], kwargs: Mapping[str, Any], hides: Hides
) -> tuple[list[Json], dict[str, Json]]:
    """Return *args* and *kwargs* as JSON values of any size."""
    root = "args"
    try:
        items = write_items(args, MAX_LEVELS, write_value) if args else []
        root = "kwargs"
        return items, write_members(kwargs, MAX_LEVELS, write_value)
    except Refusal as refusal:
        refusal.hide_in(hides)
        raise ArgumentError(refusal.sentence(name, EXPECTED, root)) from refusal.__cause__


def check_size(name: str, size: int, max_size: int) -> None:
    if size > max_size:
        text = _("%(name)s: expected arguments of at most %(most)s bytes, got %(got)s. %(advice)s")
        advice = Sentence(STORE)
        raise ArgumentError(Sentence(text, name=name, most=max_size, got=size, advice=advice))


def write_value(value: Any, room: int) -> Json:
    """Return *value* as JSON; *room* is how many levels it may have."""
    kind = type(value)
    writer = WRITERS.get(kind)
    if writer is not None:
        return writer(value)
    container = CONTAINERS.get(kind)
    if container is not None:
        return container(value, room)
    return write_other(value, room)


def write_other(value: Any, room: int) -> Json:
    """Return a value whose type alone does not tell how it is written."""
    from django.db.models import Model

    # By type and not by isinstance, which believes what a lazy object or a mock says.
    kind = type(value)
    if issubclass(kind, Enum):
        return write_enum(value)
    if issubclass(kind, LazyObject):
        return write_value(unwrapped(value), room)
    if issubclass(kind, Model):
        return write_instance(value, lambda key: write_value(key, KEY_LEVELS))
    for base in kind.__mro__:
        if base in WRITERS:
            return write_plain(base, value)
    raise foreign(value)


def unwrapped(value: Any) -> object:
    """Return what a lazy object stands for, as ``request.user`` does for a user."""
    if value._wrapped is empty:
        value._setup()
    return value._wrapped


def write_plain(base: type, value: Any) -> Json:
    """Return an instance of a subclass as its *base*, unless it is more than that."""
    try:
        stored = WRITERS[base](PLAIN[base](value) if base in PLAIN else value)
        if read_value(stored) == value:
            return stored
    except Refusal:
        raise
    except Exception:  # a subclass may have overridden anything, and some are no real value
        pass
    raise Refusal(shown(value), why=f"is not equal to any plain {base.__name__}")


def below(value: object, room: int, levels: int = 1) -> int:
    """Return the room that is left *levels* below *value*."""
    if room < levels:
        raise Refusal(
            Sentence(_("JSON of more than %(most)s levels"), most=MAX_LEVELS),
            advice=Sentence(STORE),
            deepest=value,
        )
    return room - levels


def write_items(
    value: Iterable[Any],
    room: int,
    write: Callable[[Any, int], Json],
    step: Callable[[int], str] = "[{}]".format,
) -> list[Json]:
    """Return a list of what *write* makes of each item."""
    room = below(value, room)
    items: list[Json] = []
    try:
        for item in value:
            items.append(write(item, room))
    except Refusal as refusal:
        refusal.passed(value, step(len(items)), len(items))
        raise
    return items


def write_members(
    value: Mapping[str, Any], room: int, write: Callable[[Any, int], Json]
) -> dict[str, Json]:
    """Return an object of what *write* makes of each value; the keys are texts."""
    room = below(value, room)
    members: dict[str, Json] = {}
    key = ""
    try:
        for key, item in value.items():
            members[checked_text(key)] = write(item, room)
    except Refusal as refusal:
        refusal.passed(value, step_to(key), key)
        raise
    return members


def write_dict(value: dict[Any, Any], room: int) -> Json:
    """Return an object, or pairs where a key is no text or could be taken for a tag."""
    if TAG not in value and all(type(key) is str for key in value):
        return write_members(value, room, write_value)
    room = below(value, room, levels=3)
    pairs: list[Json] = []
    key = None
    try:
        for key, item in value.items():
            pairs.append([write_value(key, room), write_value(item, room)])
    except Refusal as refusal:
        refusal.passed(value, step_to(key))
        raise
    return tagged("dict", pairs)


def write_list(value: list[Any], room: int) -> Json:
    return write_items(value, room, write_value)


def write_tuple(value: tuple[Any, ...], room: int) -> Json:
    return tagged("tuple", write_items(value, below(value, room), write_value))


def write_set(value: set[Any] | frozenset[Any], room: int) -> Json:
    items = write_items(value, below(value, room), write_value, step=lambda index: "")
    return tagged(type(value).__name__, items)


CONTAINERS: dict[type, Callable[[Any, int], Json]] = {
    list: write_list,
    dict: write_dict,
    tuple: write_tuple,
    set: write_set,
    frozenset: write_set,
}
