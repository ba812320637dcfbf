"""Which job here stands for what another queue calls."""

from __future__ import annotations

from collections.abc import Iterable

from django_jobflow.declare import registry
from django_jobflow.exceptions import InvalidJob, UnknownJob


def read_names(pairs: Iterable[str]) -> dict[str, str]:
    """Return the names of jobs by what is called elsewhere, from texts like ``old=new``.

    Empty lines and those that begin with ``#`` say nothing.

    Raises:
        InvalidJob: A text is no such pair, one name stands for two jobs, or there is no such job.
    """
    names: dict[str, str] = {}
    for pair in pairs:
        text = pair.strip()
        if not text or text.startswith("#"):
            continue
        old, _, new = (part.strip() for part in text.partition("="))
        if not old or not new:
            raise InvalidJob(f"--map: expected old=new, got {text!r}.")
        if names.setdefault(old, new) != new:
            raise InvalidJob(
                f"--map: expected one job for {old!r}, got {names[old]!r} and {new!r}."
            )
        try:
            registry.seek(new)  # a task of Django's is declared when it is first asked for
            registry.get(new)
        except UnknownJob as error:
            raise InvalidJob(f"--map: {error}") from error
    return names
