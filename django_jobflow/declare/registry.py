"""The declared jobs by name; nothing that is not registered here is ever executed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from django_jobflow.conf import nearest
from django_jobflow.exceptions import InvalidJob, UnknownJob

if TYPE_CHECKING:
    from django_jobflow.declare.job import Job

Seeker = Callable[[str], object]
"""Declares the job of a name, if it can find it."""

_jobs: dict[str, type[Job]] = {}
_by_any_name: dict[str, type[Job]] = {}
_names: frozenset[str] | None = None  # None: to be made anew
_seekers: list[Seeker] = []


def register(job: type[Job], name: str, aliases: tuple[str, ...]) -> None:
    """Make *job* known under *name* and its *aliases*.

    A class that is declared again at the same place, as a reloaded module does, replaces
    the former one.

    Raises:
        InvalidJob: Another job has one of the names; nothing was registered.
    """
    for each in (name, *aliases):
        holder = _by_any_name.get(each)
        if holder is not None and _place(holder) != _place(job):
            raise InvalidJob(
                f"{_place(job)}: the name {each!r} is taken by {_place(holder)}. "
                "Set another name on one of them."
            )
    global _names
    _jobs[name] = job
    _by_any_name.update(dict.fromkeys((name, *aliases), job))
    _names = None


def find(name: str) -> type[Job] | None:
    """Return the job of this name or former name, or None."""
    return _by_any_name.get(name)


def add_seeker(seeker: Seeker) -> None:
    """Have *seeker* asked for the jobs that nobody has declared yet."""
    if seeker not in _seekers:
        _seekers.append(seeker)


def seek(name: str) -> type[Job] | None:
    """Return the job of this name, and look for it if it is not declared; may import modules."""
    for seeker in _seekers:
        if name in _by_any_name:
            break
        seeker(name)
    return _by_any_name.get(name)


def get(name: str) -> type[Job]:
    """Return the job of this name or former name.

    Raises:
        UnknownJob: Nothing is registered under it.
    """
    job = _by_any_name.get(name)
    if job is None:
        raise UnknownJob(
            f"No job is registered under {name!r}.{nearest(name, _by_any_name)} "
            "Jobs are declared in the jobs.py of an installed app."
        )
    return job


def names() -> frozenset[str]:
    """Return every name and former name of a job; the same object until one is declared."""
    global _names
    if _names is None:
        _names = frozenset(_by_any_name)
    return _names


def all_jobs() -> list[type[Job]]:
    """Return every declared job, by name."""
    return [_jobs[name] for name in sorted(_jobs)]


@contextmanager
def isolated() -> Iterator[None]:
    """Forget on exit what was declared inside; for tests that declare jobs."""
    global _names
    before = dict(_jobs), dict(_by_any_name)
    try:
        yield
    finally:
        _names = None
        for registered, former in zip((_jobs, _by_any_name), before, strict=True):
            registered.clear()
            registered.update(former)


def _place(job: type[Job]) -> str:
    return f"{job.__module__}.{job.__qualname__}"
