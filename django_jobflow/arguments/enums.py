"""Enum members, stored by the path of their class and their name."""

from __future__ import annotations

import importlib
import sys
from enum import Enum, Flag
from functools import reduce
from operator import or_
from types import ModuleType
from typing import Any

from django_jobflow.arguments.form import Json, tagged
from django_jobflow.arguments.refusal import Refusal, shown
from django_jobflow.sentences import Sentence
from django_jobflow.sentences import noop as _


def write_enum(value: Enum) -> Json:
    """Return the class's module and path and the member's name.

    A combination of flags is stored as the list of its names.
    """
    kind = type(value)
    names = names_of(value)
    if kind.__module__ == "__main__" or in_module(kind.__module__, kind.__qualname__) is not kind:
        raise Refusal(
            shown(value),
            why=f"cannot be found again as {kind.__module__}.{kind.__qualname__}",
            advice="Declare the Enum at the top of a module or of a class.",
        )
    return tagged("enum", [kind.__module__, kind.__qualname__, names])


def names_of(value: Enum) -> str | list[str]:
    """Return the name of a member, or the names that make up a combination of flags."""
    kind = type(value)
    if kind.__members__.get(value.name) is value:
        return value.name
    names = [str(flag.name) for flag in value] if isinstance(value, Flag) else []
    if not isinstance(value, Flag) or combined(type(value), names) != value:
        raise Refusal(shown(value), why=f"is no named member of {kind.__qualname__}")
    return names


def combined(kind: type[Flag], names: list[str]) -> Flag:
    """Return the flags of these *names* as one value."""
    return reduce(or_, [kind.__members__[name] for name in names], kind(0))


def members(kind: type[Enum], names: Any) -> Enum:
    """Return what :func:`names_of` gave these *names* for."""
    if isinstance(names, str):
        return kind.__members__[names]
    if not issubclass(kind, Flag):
        raise TypeError("only flags have several names")
    return combined(kind, names)


def in_module(module: str, path: str) -> object:
    """Return what stands at *path* in a loaded module, or None.

    Only the namespaces are read, so no code of the module runs.
    """
    found: object = sys.modules.get(module)
    for part in path.split("."):
        if not isinstance(found, ModuleType | type):
            return None
        found = vars(found).get(part)
    return found


def read_enum(stored: Any) -> Enum:
    """Return the member that :func:`write_enum` was given.

    A row must not choose what is imported, so nothing is: an Enum is there when its module was
    imported with the job that takes it.
    """
    module, path, names = stored
    if sys.modules.get(module) is None:
        raise Refusal(
            Sentence(_("an Enum of %(module)s"), module=shown(module)),
            why=Sentence(_("is not imported here")),
            advice=Sentence(_("Import it in the module that declares the job.")),
        )
    importlib.import_module(module)  # waits for a thread that is in the middle of it
    kind = in_module(module, path)
    if not isinstance(kind, type) or not issubclass(kind, Enum):
        raise Refusal(shown(f"{module}.{path}"), why=Sentence(_("is not an Enum any more")))
    try:
        return members(kind, names)
    except KeyError as error:
        why = Sentence(_("is not a member of %(name)s any more"), name=f"{module}.{path}")
        raise Refusal(shown(names), why=why) from error
