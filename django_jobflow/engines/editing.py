"""Changing records that wait: their time, their arguments, their options."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import models
from django.utils import timezone

from django_jobflow import states
from django_jobflow.attempts import key_digest
from django_jobflow.calls import CLOCK_SKEW
from django_jobflow.engines.activating import Activating
from django_jobflow.engines.ground import before
from django_jobflow.models import JobRecord
from django_jobflow.states import JobState

EDITABLE = sorted(state.value for state in states.EDITABLE)
KEYS = frozenset({"queue_key", "execution_key"})


class Editing(Activating):
    """The verbs that change what a record is to do, and not how far it has come."""

    def reschedule(
        self,
        rows: models.QuerySet[JobRecord],
        run_at: datetime | None = None,
        delay: timedelta = timedelta(0),
        now: datetime | None = None,
    ) -> int:
        """Make waiting *rows* due at *run_at*, or else *delay* from now; return how many.

        Database:
            One SELECT that locks the rows, and one UPDATE; and for each execution key that
            becomes free, what gives the next its turn.
        """
        with self.transaction():
            waiting = rows.filter(state__in=before("reschedule")).order_by("pk")
            found = list(
                self.locked(waiting, skip=False).values_list(
                    "pk", "held_execution_key", "partition", "execution_key"
                )
            )
            if not found:
                return 0
            due = self.clock(now, delay) if run_at is None else run_at
            changed = self.records.filter(
                pk__in=[pk for pk, *_ in found], state__in=before("reschedule")
            ).update(
                state=JobState.SCHEDULED,
                available_at=due,
                held_execution_key=None,
                parked_for=None,
                updated_at=self.clock(now),
            )
            self._pass_on((partition, key) for _, held, partition, key in found if held)
            # Due by the database's clock, and announced by this host's.
            self.wake(delay=delay if run_at is None else run_at - timezone.now() - CLOCK_SKEW)
        return changed

    def edit(
        self,
        rows: models.QuerySet[JobRecord],
        values: Mapping[str, Any],
        now: datetime | None = None,
    ) -> int:
        """Write *values*, by column, to waiting *rows*; return how many.

        Those whose attempts so far leave none of a new ``max_attempts`` are passed over.

        Raises:
            IntegrityError: Another record holds the queue key; nothing was written.

        Database:
            One UPDATE. With keys, one SELECT that locks the rows, one UPDATE for each, and
            what gives the next of each execution key its turn.
        """
        waiting = rows.filter(state__in=EDITABLE)
        if "max_attempts" in values:
            waiting = waiting.filter(attempt__lt=values["max_attempts"])
        if KEYS.isdisjoint(values):
            changed = waiting.update(**values, updated_at=self.clock(now))
        else:
            changed = self._rekey(waiting, values, now)
        if changed and "queue" in values:
            self.wake([values["queue"]])
        return changed

    def _rekey(
        self, waiting: models.QuerySet[JobRecord], values: Mapping[str, Any], now: datetime | None
    ) -> int:
        with self.transaction():
            found = list(
                self.locked(waiting.order_by("pk"), skip=False).values_list(
                    "pk", "state", "partition", "execution_key"
                )
            )
            freed: list[tuple[str, str | None]] = []
            for pk, state, partition, key in found:
                own = dict(values)
                if "queue_key" in values:
                    own["held_queue_key"] = held_key(partition, values["queue_key"])
                new_key = values.get("execution_key", key)
                if new_key != key and state in states.DUE:
                    own["state"] = JobState.WAITING if new_key else JobState.AVAILABLE
                    own |= {"held_execution_key": None, "parked_for": None}
                    freed += [(partition, key), (partition, new_key)]
                self.records.filter(pk=pk, state__in=EDITABLE).update(
                    **own, updated_at=self.clock(now)
                )
            if freed:
                self.promote(freed)
                self.wake()
        return len(found)


def held_key(partition: str, queue_key: str | None) -> str | None:
    """Return what an unfinished record with *queue_key* holds."""
    return key_digest(partition, queue_key) if queue_key else None
