"""From the name on a record to a task: what a worker may import for it, and what it must find.

A name is a path in a module. The module has to be called ``tasks``, or to lie in a package of
that name, in an installed app or the project's own package; or to be among the ``modules`` in the
options of a backend. And the path has to lead to a task. Nothing else that a record says is
imported or called: whoever can write a row must not choose which script of an app is run.
"""

from __future__ import annotations

import importlib
import logging
import sys
import time
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any

from django.apps import apps

from django_jobflow import conf, events
from django_jobflow.tasks.compat import InvalidTask, Task, task_backends

logger = logging.getLogger("django_jobflow.tasks")

TASKS = "tasks"  # the modules in which Django's documentation has tasks
FORGET = 30.0  # seconds after which a module that could not be imported is tried again

_failed: dict[str, float] = {}
_checked: dict[str, Any] = {}


def find_task(path: str) -> Task[..., Any] | None:
    """Return the task that *path* leads to; imports its module if that is allowed."""
    for module_name, names in _splits(path):
        module = _imported(module_name)
        if module is not None:
            return _task_in(module, names, path)
    return None


def found_under(task: Task[..., Any]) -> Task[..., Any] | None:
    """Return what is found under the path of *task*, which need not be this task."""
    module = sys.modules.get(str(task.func.__module__))
    return _task_in(module, task.func.__qualname__.split("."), task.module_path)


def check_path(task: Task[..., Any]) -> None:
    """Refuse a task that a worker would not find.

    Raises:
        InvalidTask: Its path does not lead to it, or to where a worker may not import.
    """
    path = task.module_path
    if _checked.get(path) is task.func:
        return
    module_name = str(task.func.__module__)
    found = found_under(task)
    if found is None or found.func is not task.func:
        raise InvalidTask(
            f"{path}: expected the task of this function to be what is found under this path, "
            f"got {found!r}. Decorate a function of a module with @task, and keep its name."
        )
    if not may_import(module_name):
        raise InvalidTask(
            f"{path}: expected a module that a worker may import, got {module_name!r}. Move the "
            "task to the tasks.py of an installed app, or add the module to "
            f"TASKS[{task.backend!r}]['OPTIONS']['modules']."
        )
    _checked[path] = task.func


def may_import(module_name: str) -> bool:
    """Say whether tasks are imported from a module of this name."""
    if TASKS in module_name.split(".") and _is_in(module_name, _packages()):
        return True
    return _is_in(module_name, _named())


def _is_in(module_name: str, packages: Iterable[str]) -> bool:
    return any(f"{module_name}.".startswith(f"{package}.") for package in packages)


def _packages() -> Iterator[str]:
    yield from (config.name for config in apps.get_app_configs())
    yield from conf.project_packages()


def _named() -> Iterator[str]:
    """Yield the modules and packages that the settings name."""
    for alias in task_backends.settings:
        try:
            yield from getattr(task_backends[alias], "modules", ())
        except Exception:  # its settings are wrong: a check says so
            continue


def _splits(path: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each way to read *path* as a module and a path in it, the longest module first."""
    parts = path.split(".")
    if not all(part.isidentifier() for part in parts):
        return
    for length in range(len(parts) - 1, 0, -1):
        yield ".".join(parts[:length]), parts[length:]


def _imported(module_name: str) -> ModuleType | None:
    if (module := sys.modules.get(module_name)) is not None:
        return module
    if not may_import(module_name) or time.monotonic() < _failed.get(module_name, 0.0):
        return None
    try:
        return importlib.import_module(module_name)
    except Exception as error:
        _failed[module_name] = time.monotonic() + FORGET
        if not (isinstance(error, ModuleNotFoundError) and _is_part(error.name, module_name)):
            events.log(
                logger,
                logging.ERROR,
                "task_module_failed",
                module=module_name,
                error=repr(error),
                exc_info=error,
            )
        return None


def _is_part(name: str | None, module_name: str) -> bool:
    """Say whether *name*, which is missing, is the module itself or a package of it."""
    return name is not None and f"{module_name}.".startswith(f"{name}.")


def _task_in(place: Any, names: list[str], path: str) -> Task[..., Any] | None:
    """Return the task at *names* in a module, without running any code of it."""
    for name in names:
        place = vars(place).get(name) if isinstance(place, ModuleType | type) else None
    if isinstance(place, Task) and place.module_path == path:
        return place
    return None
