"""What may be changed of a record that waits, as ``JobRecord.update`` takes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django_jobflow import conf
from django_jobflow.arguments import HIDDEN, bind, encode
from django_jobflow.declare import registry
from django_jobflow.declare.call_options import READERS, read_call_options
from django_jobflow.declare.job import KEYS
from django_jobflow.declare.options import refuse_unknown
from django_jobflow.declare.secrecy import secrecy_of
from django_jobflow.exceptions import InvalidJob

CALL = ("args", "kwargs")

OPTIONS = ("queue", "priority", "max_attempts", "timeout", "tags", "meta", "expires_at")
"""What may be changed of many records at once."""

EDITS = (*CALL, *KEYS, *OPTIONS)
"""What may be changed of one record."""

CLEARABLE = frozenset({"expires_at"})  # beside those whose readers take None


def read_due(
    name: str, run_at: datetime | None, delay: float | timedelta | None
) -> dict[str, Any]:
    """Return the one that is given of *run_at* and *delay*, checked."""
    due = read_call_options(name, {"run_at": run_at, "delay": delay})
    if not due:
        raise InvalidJob(f"{name}: expected run_at or delay, got neither.")
    return due


def read_edits(name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return *changes* of a record of the job *name* checked, by column.

    With arguments come the keys that the job computes of them, unless they are among the
    changes.

    Raises:
        InvalidJob: A change is unknown or has a wrong value.
        UnknownJob: Arguments are to be changed, and nothing is registered under the name.
        ArgumentError: ``perform`` does not take these arguments, or they cannot be stored.
    """
    values = read_options(name, changes, EDITS)
    if values.keys().isdisjoint(CALL):
        return values
    return _call(name, values.pop("args", ()), values.pop("kwargs", {})) | values


def read_options(
    name: str, changes: Mapping[str, Any], known: Iterable[str] = OPTIONS
) -> dict[str, Any]:
    """Return *changes* checked; None is a value like any other, and seldom a right one."""
    known = tuple(known)
    refuse_unknown(name, changes, known)
    if not changes:
        raise InvalidJob(f"{name}: expected one or more of {', '.join(known)}, got nothing.")
    return {option: _read(name, option, value) for option, value in changes.items()}


def _read(name: str, option: str, value: Any) -> Any:
    if option in CALL:
        return _arguments(name, option, value)
    if value is None and option in CLEARABLE:
        return None
    return READERS[option](name, option, value)


def _arguments(name: str, option: str, value: Any) -> Any:
    if option == "args":
        is_right, expected = isinstance(value, list | tuple), "a list or tuple"
    else:
        is_right = isinstance(value, Mapping) and all(isinstance(key, str) for key in value)
        expected = "a dict with text keys"
    if is_right:
        return value
    got = HIDDEN if secrecy_of(name).hides_anything else value
    raise InvalidJob(f"{name}: expected {option} to be {expected}, got {got!r}.")


def _call(name: str, args: Any, kwargs: Any) -> dict[str, Any]:
    job = registry.get(name)
    hides = job._secrecy().hides
    args, kwargs = bind(name, job._shape, args, kwargs, hides)
    size = conf.current().MAX_ARGUMENTS_SIZE
    encoded = encode(name, args, kwargs, max_size=size, hides=hides)
    keys = {kind: job._computed_key(kind, args, kwargs) for kind in KEYS if job._computes(kind)}
    return dict(zip(CALL, encoded, strict=True)) | keys
