"""What a test expects to be enqueued, and whether a record is that."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django_jobflow import conf
from django_jobflow.arguments import DOTS, decode, encode
from django_jobflow.arguments.binding import brief
from django_jobflow.declare.job import Job
from django_jobflow.exceptions import ArgumentError, InvalidJob, checked_delay
from django_jobflow.models import JobRecord, SucceededJob
from django_jobflow.testing.meaning import job_of

Found = JobRecord | SucceededJob

ABSENT = object()
"""What an argument is compared to that the call does not have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is looked for; what is not said may be anything.

    Attributes:
        job: The declared job. None means any.
        arguments: By the names of the parameters, however the call has given them.
        columns: What columns say, by name.
        tags: All of these are among the record's.
        meta: The record's says this, and may say more.
        run_at: When it is due, to the microsecond; or the first and the last such moment.
        delay: By which it is due after it was enqueued.
    """

    job: type[Job] | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    columns: Mapping[str, Any] = field(default_factory=dict)
    tags: Iterable[str] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)
    run_at: datetime | tuple[datetime, datetime] | None = None
    delay: timedelta | None = None

    def matches(self, record: Found) -> bool:
        """Say whether *record* is what is looked for."""
        return (
            (self.job is None or record.name in names_of(self.job))
            and all(value == getattr(record, name) for name, value in self.columns.items())
            and {*self.tags} <= {*record.tags}
            and self.meta.items() <= {**record.meta}.items()
            and self._is_due_then(record)
            and self._has_arguments(record)
        )

    def _is_due_then(self, record: Found) -> bool:
        if self.delay is not None and record.available_at - record.created_at != self.delay:
            return False
        if isinstance(self.run_at, tuple):
            first, last = self.run_at
            return bool(first <= record.available_at <= last)
        return self.run_at is None or self.run_at == record.available_at

    def _has_arguments(self, record: Found) -> bool:
        if self.job is None or not self.arguments:
            return True
        given = given_by_name(self.job, record)
        return all(_is(value, given.get(name, ABSENT)) for name, value in self.arguments.items())

    def described(self) -> str:
        """Return what is looked for in words, without an article."""
        return " ".join(self._words())

    def _words(self) -> Iterator[str]:
        if self.job is not None:
            yield self.job._name
        if self.job is not None and self.arguments:
            hides = self.job._secrecy().hides
            shown = [
                f"{name}={DOTS if hides(name) else repr(value)}"
                for name, value in self.arguments.items()
            ]
            yield f"with {', '.join(shown)}"
        said: dict[str, Any] = dict(self.columns)
        if "queue" in said:
            yield f"on queue {said.pop('queue')!r}"
        said |= {"tags": [*self.tags]} if self.tags else {}
        said |= {"meta": self.meta} if self.meta else {}
        if said:
            yield f"of {', '.join(f'{name} {value!r}' for name, value in said.items())}"
        if isinstance(self.run_at, tuple):
            yield f"due from {self.run_at[0]} to {self.run_at[1]}"
        elif self.run_at is not None:
            yield f"due at {self.run_at}"
        if self.delay is not None:
            yield f"due after {self.delay}"


def read_wanted(
    job: Any,
    arguments: Mapping[str, Any] | None,
    *,
    run_at: datetime | tuple[datetime, datetime] | None,
    delay: float | timedelta | None,
    tags: Iterable[str],
    meta: Mapping[str, Any] | None,
    **columns: Any,
) -> Wanted:
    """Return what is looked for, after a check that it could be found at all.

    Raises:
        UnknownJob: Nothing is registered under the name.
        ArgumentError: The job has no such parameter.
        InvalidJob: Arguments are given without a job.
    """
    found = None if job is None else job_of(job)
    if arguments:
        if found is None:
            raise InvalidJob(f"Expected a job to whose parameters {arguments!r} belong, got None.")
        _refuse_strange(found, arguments)
    return Wanted(
        job=found,
        arguments=dict(arguments or {}),
        columns={name: value for name, value in columns.items() if value is not None},
        tags=tuple(tags),
        meta=dict(meta or {}),
        run_at=run_at,
        delay=None if delay is None else checked_delay("delay", delay),
    )


def _refuse_strange(job: type[Job], arguments: Mapping[str, Any]) -> None:
    parameters = job._signature.parameters
    if any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values()):
        return
    for name in arguments:
        if name not in parameters:
            raise ArgumentError(
                f"{job._name}: expected names of parameters of perform{brief(job._signature)}, "
                f"got {name!r}.{conf.nearest(name, parameters)}"
            )


def names_of(job: type[Job]) -> frozenset[str]:
    """Return what the records of *job* are called."""
    return frozenset({job._name, *job.definition().aliases})


def given_by_name(job: type[Job], record: Found) -> dict[str, Any]:
    """Return the stored arguments by the names of the parameters, defaults included.

    A default is no stored value, but what a stored one would be read as.
    """
    try:
        bound = job._signature.bind(*record.args, **record.kwargs)
    except TypeError:  # stored by another version of the job
        return dict(record.kwargs)
    given: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        kind = job._signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_KEYWORD:
            given |= value
        else:
            given[name] = [*value] if kind is inspect.Parameter.VAR_POSITIONAL else value
    for name, parameter in job._signature.parameters.items():
        if name not in given and parameter.default is not inspect.Parameter.empty:
            given[name] = _Default(parameter.default)
    return given


@dataclass(frozen=True, slots=True)
class _Default:
    value: Any


def _is(expected: Any, stored: Any) -> bool:
    """Say whether *stored* stands for what is *expected*, or for something equal to it."""
    if stored is ABSENT:
        return False
    if isinstance(stored, _Default):
        return bool(expected == stored.value)
    size = conf.current().MAX_ARGUMENTS_SIZE
    try:
        if encode("Expected", [expected], {}, max_size=size)[0] == [stored]:
            return True  # without a look at the rows of model instances
    except ArgumentError:
        pass  # no value but a matcher, such as mock.ANY
    try:
        [value], _ = decode([stored], {})
    except ArgumentError:
        return False
    return bool(expected == value)
