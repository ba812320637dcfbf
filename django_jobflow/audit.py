"""The audit: who has done what, written down in the same transaction as what was done.

``operate`` and ``control`` write it by themselves and are told ``by=`` whom. What else an operator
can do calls ``record()`` in the transaction of its own write. A row never has arguments of jobs,
nor anything else that may be sensitive: a subject is a name, a number or a search.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from django.db import models

from django_jobflow.engines import Engine, engine_for
from django_jobflow.engines.repeating import again
from django_jobflow.models import AuditAction, AuditEntry, AuditVia
from django_jobflow.models.audit import BY_LENGTH, TEXT_LENGTH
from django_jobflow.outcomes import storable

__all__ = ["Actor", "Trail", "actor_of", "entries", "old_entries", "record", "subject_of_jobs"]

JOBS_NAMED = 100  # jobs of one action whose numbers are kept

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something.

    Attributes:
        name: The name of a user, or of an account of a system.
        via: Through what: the admin, the command line, or code.
        origin: From where: the address of a browser, or account and host.
    """

    name: str = ""
    via: str = AuditVia.CODE
    origin: str = ""


By = Actor | str
"""Who does something: a text is a name, and says that it is done by code."""


def actor_of(by: By) -> Actor:
    """Return *by* as an actor."""
    return by if isinstance(by, Actor) else Actor(by)


def record(
    action: str,
    *,
    by: By = "",
    subject: str = "",
    count: int = 1,
    detail: Mapping[str, Any] | None = None,
    database: str | None = None,
) -> None:
    """Write one action down; call it in the transaction of what it tells.

    Args:
        action: One of ``AuditAction``.
        by: Who has done it.
        subject: What it was done to, as a search for it: ``"id:42"``, ``"queue:email"``.
        count: How many things were changed.
        detail: More, as plain JSON. Never arguments of a job.
        database: Alias of the database of the jobs. None means JOBFLOW["DATABASE"].

    Raises:
        ValueError: There is no such action.

    Database:
        One INSERT.
    """
    trail = Trail(engine_for(database), action, by=by, subject=subject, detail=detail)
    trail.write({"count": count})


class Trail:
    """The row of one action, however many transactions that takes.

    Args:
        engine: The database.
        action: One of ``AuditAction``.
        by: Who does it.
        subject: What it is done to, as a search for it.
        detail: More, as plain JSON.
    """

    def __init__(
        self,
        engine: Engine,
        action: str,
        *,
        by: By = "",
        subject: str = "",
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        self.engine = engine
        self.action = AuditAction(action)
        self.actor = actor_of(by)
        self.subject = subject
        self.detail = dict(detail or {})
        self._totals: dict[str, int] = {}
        self._jobs: list[int] = []
        self._pk: int | None = None

    def do(
        self,
        step: Callable[[], T],
        told: Callable[[T], Mapping[str, int]],
        jobs: Sequence[int] = (),
    ) -> T:
        """Do *step* and write it down, in one transaction; return what it returns.

        A transaction that the database has undone for the sake of another is made again.

        Args:
            told: Returns how many things *step* has changed, as ``count``, and other numbers.
            jobs: The numbers of the jobs that *step* is about.
        """

        def noted() -> tuple[T, tuple[Any, ...]]:
            with self.engine.transaction():
                result = step()
                return result, self._written(told(result), jobs)

        result, (self._totals, self._jobs, self._pk) = again(self.engine, noted)
        return result

    def end(self) -> None:
        """Write down that nothing was changed, if there was no step: that was asked for, too."""
        if self._pk is None:
            self.do(lambda: None, lambda _nothing: {})

    def write(self, numbers: Mapping[str, int], jobs: Sequence[int] = ()) -> None:
        """Write down what was done in the transaction that is open."""
        self._totals, self._jobs, self._pk = self._written(numbers, jobs)

    def _written(self, numbers: Mapping[str, int], jobs: Sequence[int]) -> tuple[Any, ...]:
        totals = {
            name: self._totals.get(name, 0) + numbers.get(name, 0)
            for name in (self._totals | dict(numbers))
        }
        named = [*self._jobs, *jobs][:JOBS_NAMED]
        said = {
            "count": totals.get("count", 0),
            "detail": self.detail
            | {name: number for name, number in totals.items() if number and name != "count"}
            | ({"jobs": named} if named else {}),
        }
        if self._pk is None:
            return totals, named, self._insert(said)
        entries(self.engine.alias).filter(pk=self._pk).update(**said)
        return totals, named, self._pk

    def _insert(self, said: Mapping[str, Any]) -> int:
        entry = AuditEntry(
            action=self.action.value,
            by=_fitting(self.actor.name, BY_LENGTH),
            via=self.actor.via,
            origin=_fitting(self.actor.origin, TEXT_LENGTH),
            subject=_fitting(self.subject, TEXT_LENGTH),
            **said,
        )
        entry.save(force_insert=True, using=self.engine.alias)
        return int(entry.pk)


def subject_of_jobs(ids: Sequence[Any]) -> str:
    """Return the subject of an action on the jobs of these numbers."""
    return _fitting(f"id:{','.join(map(str, ids))}", TEXT_LENGTH) if ids else ""


def entries(alias: str) -> models.QuerySet[AuditEntry]:
    """Return all rows of the database behind *alias*."""
    return AuditEntry._base_manager.using(alias)


def old_entries(alias: str, older_than: datetime) -> models.QuerySet[AuditEntry]:
    """Return the rows of *older_than* or before."""
    return entries(alias).filter(at__lte=older_than)


def _fitting(text: str, most: int) -> str:
    """Return *text* as a column holds it: an action is written down whatever it is about."""
    clean = storable(text)
    return clean if len(clean) <= most else f"{clean[: most - 1]}…"
