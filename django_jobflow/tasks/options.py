"""The options of a job that a task may have beside those of Django: their names and values.

They are fields of our own class of tasks. To a task of another class they belong all the same:
then they are kept beside it, by its function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any
from weakref import WeakKeyDictionary

from django_jobflow.declare.call_options import READERS, read_key
from django_jobflow.declare.job import KEYS, refuse_unusable_key
from django_jobflow.declare.options import NAMES, read_option, refuse_unknown
from django_jobflow.exceptions import InvalidJob
from django_jobflow.tasks.compat import InvalidTask, Task, normalize_json


class Unset(Enum):
    """What the value of an option is that nobody has said: None is a value of its own."""

    UNSET = "unset"

    def __repr__(self) -> str:
        return self.name


UNSET = Unset.UNSET

FOREIGN = frozenset(
    {"queue", "priority", "name", "step", "abstract", "delay", "run_at", "meta", "database"}
)
"""Options of a job that Django has another word for, or that a task cannot have."""

DECLARED = tuple(name for name in (*NAMES, *KEYS) if name not in FOREIGN)
"""What the decorator takes: what a class of a job may say."""

CALLED = (*(name for name in READERS if name not in FOREIGN), "metadata")
"""What ``using`` takes: what an enqueue may say."""

OPTIONS = tuple(dict.fromkeys((*DECLARED, *CALLED)))

_beside: WeakKeyDictionary[Callable[..., Any], dict[str, Any]] = WeakKeyDictionary()


def keep_beside(function: Callable[..., Any], options: Mapping[str, Any]) -> None:
    """Let the tasks of *function* have *options* for which they have no field."""
    if options:
        _beside[function] = dict(options)
    else:
        _beside.pop(function, None)


def options_of(task: Task[..., Any]) -> dict[str, Any]:
    """Return the options that somebody has said of *task*, whatever its class is."""
    said = {name: getattr(task, name, UNSET) for name in OPTIONS}
    said = {name: value for name, value in said.items() if value is not UNSET}
    kept = _beside.get(task.func)
    return said if kept is None else kept | said


def declaration_of(task: Task[..., Any]) -> Task[..., Any]:
    """Return what was decorated, of a task that ``using`` has made; else the task itself."""
    origin = getattr(task, "declaration", None)
    return origin if isinstance(origin, Task) else task


def declared(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of *options* that make the job."""
    return {
        name: value
        for name, value in options.items()
        if name in DECLARED and (name not in KEYS or callable(value))
    }


def called(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of *options* that an enqueue says."""
    return {
        name: value
        for name, value in options.items()
        if name in CALLED and (name not in KEYS or not callable(value))
    }


def check_options(path: str, options: Mapping[str, Any]) -> None:
    """Refuse what is no option, or no value of one.

    Raises:
        InvalidTask: The message names the task, the option, what was expected and what came.
    """
    try:
        refuse_unknown(path, options, OPTIONS)
        for name, value in options.items():
            _check(path, name, value)
    except InvalidJob as error:
        raise InvalidTask(str(error)) from error


def _check(path: str, name: str, value: Any) -> None:
    if name == "metadata":
        read_metadata(path, value)
    elif name in KEYS and callable(value):
        refuse_unusable_key(path, name, value)
    elif name in KEYS:
        read_key(path, name, value)
    elif name in NAMES:
        read_option(path, name, value)
    elif value is not None:
        READERS[name](path, name, value)


def read_metadata(path: str, value: Any) -> dict[str, Any]:
    """Return *value* as the plain JSON that a record keeps.

    Raises:
        InvalidJob: It is no dict with texts as keys, or not JSON.
    """
    try:
        plain: Any = normalize_json(value)
    except (TypeError, ValueError):
        plain = value
    read: dict[str, Any] = READERS["meta"](path, "metadata", plain)
    return read
