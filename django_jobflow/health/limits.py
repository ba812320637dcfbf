"""What a check of the health is held against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from django_jobflow import conf
from django_jobflow.declare.options import read_option
from django_jobflow.exceptions import InvalidJob, checked_delay

MAX_WAIT = timedelta(seconds=60)
MIN_WORKERS = 1
TIMEOUT = timedelta(seconds=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What is still healthy.

    Attributes:
        max_wait: How long a job may wait for a worker: an available one to be started, a due
            one to be made available, one whose lease has lapsed to be rescued.
        max_beat: How long ago the last heartbeat of a worker may be for it to count as alive.
            None means JOBFLOW["LEASE"].
        min_workers: Workers that have to be alive. 0 where they are started on demand.
        queues: Jobs that wait elsewhere do not matter, nor do workers that serve none of these.
            None means all.
    """

    max_wait: timedelta = MAX_WAIT
    max_beat: timedelta | None = None
    min_workers: int = MIN_WORKERS
    queues: tuple[str, ...] | None = None

    @property
    def silence(self) -> timedelta:
        """``max_beat`` with its default applied."""
        return conf.current().LEASE if self.max_beat is None else self.max_beat

    @classmethod
    def read(
        cls,
        subject: str,
        *,
        max_wait: float | timedelta = MAX_WAIT,
        max_beat: float | timedelta | None = None,
        min_workers: int = MIN_WORKERS,
        queues: Sequence[str] | None = None,
    ) -> Limits:
        """Return limits as people write them.

        Args:
            subject: Where they are written, for the message of an error.
            max_wait: Seconds or timedelta, as ``max_beat``.

        Raises:
            ImproperlyConfigured: One of them is not what it has to be.
        """
        return cls(
            max_wait=read_duration(subject, "max_wait", max_wait),
            max_beat=None if max_beat is None else read_duration(subject, "max_beat", max_beat),
            min_workers=_count(subject, min_workers),
            queues=None if queues is None else _names(subject, queues),
        )


def read_duration(subject: str, name: str, value: float | timedelta) -> timedelta:
    """Return *value* as a timedelta.

    Raises:
        ImproperlyConfigured: It is neither seconds nor a timedelta.
    """
    try:
        return checked_delay(subject, value, name)
    except InvalidJob as error:
        raise ImproperlyConfigured(str(error)) from error


def _count(subject: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ImproperlyConfigured(
            f"{subject}: expected min_workers to be a whole number from 0, got {value!r}."
        )
    return value


def _names(subject: str, queues: Any) -> tuple[str, ...]:
    if isinstance(queues, str) or not isinstance(queues, Sequence) or not queues:
        raise ImproperlyConfigured(
            f"{subject}: expected queues to be a list of names, or None, got {queues!r}."
        )
    try:
        return tuple(dict.fromkeys(read_option(subject, "queue", name) for name in queues))
    except InvalidJob as error:
        raise ImproperlyConfigured(str(error)) from error
