"""What crosses between a worker and an executor: plain values that any of them can carry."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, replace

from django_jobflow.attempts import Reservation
from django_jobflow.outcomes import Outcome
from django_jobflow.worker.logbook import Pages


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """An attempt that is to be executed elsewhere.

    Attributes:
        reservation: By which the worker holds it; with the arguments as they are stored.
        database: Alias of the database of the jobs.
        settings: Dotted path of Django's settings, for a process that has not set it up.
        token: Makes each parcel another one, also to an engine that knows calls by their
            arguments and would answer with what it has.
    """

    reservation: Reservation
    database: str
    settings: str
    token: str = field(default_factory=lambda: secrets.token_hex(8))

    @classmethod
    def of(cls, reservation: Reservation, database: str, settings: str) -> Parcel:
        """Return what is to be sent of *reservation*: not what earlier attempts have left."""
        sent = replace(reservation, errors=[])
        return cls(reservation=sent, database=database, settings=settings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of a parcel.

    Attributes:
        outcome: How the body ended. None means that it did not run here.
        refusal: Why it did not.
        settled: Whether the end is written, by the job's own transaction.
        lost: Whether that transaction found that another has the record, and was undone.
        seconds: How long the body ran.
        pages: What it has logged, if that is kept.
    """

    outcome: Outcome | None = None
    refusal: str = ""
    settled: bool = False
    lost: bool = False
    seconds: float = 0.0
    pages: Pages | None = None
