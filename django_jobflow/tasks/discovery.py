"""Finding the tasks of a project when it starts."""

from __future__ import annotations

from django.utils.module_loading import autodiscover_modules

from django_jobflow import conf
from django_jobflow.tasks.backend import JobflowBackend
from django_jobflow.tasks.compat import task_backends


def discover() -> None:
    """Import the ``tasks`` modules of the installed apps, if any backend is one of ours.

    Tasks in other modules are found when a worker meets the first record of one.
    """
    if any(map(_is_ours, conf.foreign_task_backends())):
        autodiscover_modules("tasks")


def _is_ours(alias: str) -> bool:
    try:
        return isinstance(task_backends[alias], JobflowBackend)
    except Exception:  # whatever is wrong with it: a check of Django says so
        return False
