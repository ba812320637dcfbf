"""System checks of the backend; they ask no database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.apps import apps
from django.core.checks import CheckMessage, Error

from django_jobflow import conf

if TYPE_CHECKING:
    from django_jobflow.tasks.backend import JobflowBackend

OPTIONS = ("database", "modules")


def check_backend(backend: JobflowBackend) -> list[CheckMessage]:
    """E020, E021, E022: unknown options, wrong values, the app is not installed."""
    subject = f"TASKS[{backend.alias!r}]"
    return [*_unknown(backend, subject), *_wrong(backend, subject), *_missing(subject)]


def _unknown(backend: JobflowBackend, subject: str) -> list[CheckMessage]:
    return [
        Error(
            f"{subject}['OPTIONS']: {name!r} is not an option.{conf.nearest(name, OPTIONS)}",
            hint=f"The options are {', '.join(OPTIONS)}.",
            id="jobflow.E020",
        )
        for name in backend.options
        if name not in OPTIONS
    ]


def _wrong(backend: JobflowBackend, subject: str) -> list[CheckMessage]:
    database, aliases = backend.options.get("database"), conf.database_aliases()
    modules = backend.options.get("modules", ())
    expected = {}
    if database is not None and database not in aliases:
        expected["database"] = f"one of the aliases in DATABASES {aliases}"
    if not isinstance(modules, list | tuple) or not all(isinstance(m, str) for m in modules):
        expected["modules"] = "a list of the names of packages"
    return [
        Error(
            f"{subject}['OPTIONS'][{name!r}]: expected {what}, got {backend.options[name]!r}.",
            hint=f"Correct it, or remove {name!r} to have the default.",
            id="jobflow.E021",
        )
        for name, what in expected.items()
    ]


def _missing(subject: str) -> list[CheckMessage]:
    if apps.is_installed("django_jobflow"):
        return []
    return [
        Error(
            f"{subject}: expected 'django_jobflow' in INSTALLED_APPS, whose tables hold the "
            "tasks, got none.",
            hint="Add 'django_jobflow' to INSTALLED_APPS.",
            id="jobflow.E022",
        )
    ]
