"""For how long a queue key is held, and what a second call of it does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django_jobflow.declare.options import Definition
from django_jobflow.exceptions import InvalidJob


@dataclass(frozen=True, slots=True)
class Keeping:
    """What the options of a job and of a call say together, each as ``Definition`` has it."""

    on_duplicate: str
    unique_for: timedelta | None
    debounce: timedelta | None
    debounce_max: timedelta | None

    @property
    def insists(self) -> str:
        """The option by which a second call does not simply return the holder, or nothing."""
        if self.unique_for is not None:
            return "unique_for"
        if self.debounce is not None:
            return "debounce"
        return "" if self.on_duplicate == "return" else f"on_duplicate = {self.on_duplicate!r}"


def read_keeping(definition: Definition, options: Mapping[str, Any], *, keyed: bool) -> Keeping:
    """Return what *options* of a call and the job's own say.

    Args:
        keyed: Whether there may be a queue key.

    Raises:
        InvalidJob: They contradict each other.
    """
    said = {
        name: options.get(name, getattr(definition, name))
        for name in ("unique_for", "debounce", "debounce_max")
    }
    if all(value is None for value in said.values()):
        return Keeping(definition.on_duplicate, None, None, None)
    if problem := _problem(said, definition.on_duplicate, options, keyed=keyed):
        raise InvalidJob(f"{definition.name}: expected {problem}.")
    on_duplicate = definition.on_duplicate if said["debounce"] is None else "replace"
    return Keeping(on_duplicate, **said)


def _problem(
    said: Mapping[str, Any], on_duplicate: str, options: Mapping[str, Any], *, keyed: bool
) -> str:
    """Return what was expected and what came; nothing if all is well."""
    unique_for, debounce, longest = said.values()
    given = {name: value for name, value in said.items() if value is not None}
    if not keyed:
        return f"a queue key with {' and '.join(given)}, got none"
    if unique_for is not None and debounce is not None:
        return f"unique_for or debounce, got both: {unique_for=!r}, {debounce=!r}"
    if debounce is None:
        return "" if longest is None else f"debounce with debounce_max, got only {longest!r}"
    if longest is not None and longest < debounce:
        return f"debounce_max to be at least debounce, {debounce!r}, got {longest!r}"
    if on_duplicate == "raise":
        return "debounce or on_duplicate = 'raise', got both"
    for name in options.keys() & {"delay", "run_at"}:
        return f"debounce or {name}, got both: {debounce=!r}, {name}={options[name]!r}"
    return ""
