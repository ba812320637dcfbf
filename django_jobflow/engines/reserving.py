"""Promising records to a worker, starting them, and holding on to them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from typing import Any

from django.db import models
from django.db.models import F, Q

from django_jobflow import states
from django_jobflow.attempts import FENCE, RESERVATION_FIELDS, Range, Reservation, Turn
from django_jobflow.engines.ground import FREED
from django_jobflow.engines.ranging import Ranging
from django_jobflow.models import JobRecord
from django_jobflow.models.querysets import OF_ANY_QUEUE, RESERVE_ORDER
from django_jobflow.states import JobState


class Reserving(Ranging):
    """The verbs of the rooms *reserve* and *execute*."""

    def reserve(
        self,
        *,
        limit: int,
        worker: str,
        queues: Sequence[str] | None,
        timeout: timedelta,
        now: datetime | None = None,
    ) -> list[Reservation]:
        """Promise up to *limit* AVAILABLE rows to *worker*, best first; [] when there are none.

        Database:
            One ordered index range for all, and one UPDATE by key. With *queues*, an index
            range for each partition that has work in them, which ``waiting_lanes`` finds.
        """
        turns = None if queues is None else self.turn_of(queues, limit)
        return self._reserve(limit, worker, None, turns, timeout, now)

    def _reserve(
        self,
        limit: int,
        worker: str,
        queues: Sequence[str] | None,
        turns: Sequence[Turn] | None,
        timeout: timedelta,
        now: datetime | None,
    ) -> list[Reservation]:
        with self.transaction():
            found = self._candidates(limit, queues, turns)
            ids = [reservation.id for reservation in found]
            moment = self.clock(now)
            changed = (
                self.named(ids, state=JobState.AVAILABLE).update(
                    state=JobState.RESERVED,
                    reserved_by=worker,
                    reserved_at=moment,
                    reserved_count=F("reserved_count") + 1,
                    expires=self.clock(now, timeout),
                    updated_at=moment,
                )
                if ids
                else 0
            )
            if changed != len(ids):
                found = self._still(found, worker)
        for reservation in found:
            reservation.worker = worker
            reservation.reserved_count += 1
        return found

    def _candidates(
        self,
        limit: int,
        queues: Sequence[str] | None,
        turns: Sequence[Turn] | None = None,
    ) -> list[Reservation]:
        if turns is None:
            if queues is None:
                return self._first(limit, [(OF_ANY_QUEUE, limit)])
            ranges = tuple(Range(queue, "", limit) for queue in dict.fromkeys(queues))
            turns = [Turn(ranges, limit)]
        return [
            row
            for turn in turns
            for row in self._first(
                turn.limit,
                [
                    (Q(queue=each.queue, partition=each.partition), each.limit)
                    for each in turn.ranges
                ],
            )
        ]

    def _first(self, limit: int, ranges: Iterable[tuple[Q, int]]) -> list[Reservation]:
        available = self.records.filter(state=JobState.AVAILABLE).order_by(*RESERVE_ORDER)
        found = [
            Reservation(*row)
            for condition, most in ranges
            for row in self.locked(available.filter(condition), skip=True).values_list(
                *RESERVATION_FIELDS
            )[:most]
        ]
        found.sort(key=lambda row: (-row.priority, row.available_at, row.id))
        return found[:limit]

    def _still(self, found: list[Reservation], worker: str) -> list[Reservation]:
        """Return those of *found* that are reserved by *worker*: no row lock held the rest."""
        ids = [reservation.id for reservation in found]
        ours = set(
            self.named(ids, state=JobState.RESERVED, reserved_by=worker).values_list(
                "pk", flat=True
            )
        )
        return [reservation for reservation in found if reservation.id in ours]

    def start(
        self,
        reservations: Sequence[Reservation],
        *,
        lease: timedelta,
        now: datetime | None = None,
    ) -> list[Reservation]:
        """Count the attempt of RESERVED rows whose promise still stands; return those.

        Database:
            One SELECT that locks the rows, and one UPDATE by key.
        """
        with self.transaction():
            started = self._standing(reservations, now)
            moment = self.clock(now)
            if started:
                self.records.filter(pk__in=[reservation.id for reservation in started]).update(
                    state=JobState.IN_PROGRESS,
                    attempt=F("attempt") + 1,
                    started_at=moment,
                    expires=self.clock(now, lease),
                    updated_at=moment,
                )
        for reservation in started:
            reservation.attempt += 1
        return started

    def _standing(
        self, reservations: Sequence[Reservation], now: datetime | None
    ) -> list[Reservation]:
        """Lock the rows of *reservations* and return those whose promise still stands."""
        ids = [reservation.id for reservation in reservations]
        rows = self.named(ids, state=JobState.RESERVED, expires__gt=self.clock(now))
        locked = self.locked(rows.order_by("pk"), skip=False)
        standing = {pk: fence for pk, *fence in locked.values_list("pk", *FENCE)}
        return [each for each in reservations if standing.get(each.id) == [*each.fence]]

    def _held(
        self, reservations: Sequence[Reservation], in_states: Iterable[JobState]
    ) -> models.QuerySet[JobRecord]:
        """Return the query of the rows that *reservations* still have, in one of the states."""
        groups: dict[tuple[Any, ...], list[int]] = defaultdict(list)
        for each in reservations:
            groups[each.fence].append(each.id)
        # Few: most records are at the first attempt of their first reservation.
        fences = [
            models.Q(pk__in=ids, **dict(zip(FENCE, fence, strict=True)))
            for fence, ids in groups.items()
        ]
        ids = [each.id for each in reservations]
        return self.named(ids, reduce(or_, fences), state__in=sorted(in_states))

    def extend(
        self,
        reservations: Sequence[Reservation],
        *,
        lease: timedelta,
        now: datetime | None = None,
    ) -> list[Reservation]:
        """Renew the lease of *reservations*; return those that still have their rows.

        Database:
            One UPDATE, and one SELECT when something was lost.
        """
        if not reservations:
            return []
        held = self._held(reservations, states.HELD)
        changed = held.update(expires=self.clock(now, lease))
        if changed == len(reservations):
            return [*reservations]
        return self._among(reservations, held)

    def cancel_requests(self, reservations: Sequence[Reservation]) -> list[Reservation]:
        """Return those of *reservations* that somebody asked to cancel while they run.

        Database:
            One SELECT by key.
        """
        if not reservations:
            return []
        held = self._held(reservations, {JobState.IN_PROGRESS})
        return self._among(reservations, held.filter(cancel_requested_at__isnull=False))

    def write_progress(self, reservation: Reservation, percent: int, message: str) -> bool:
        """Write how far a running attempt is, if it is still the one that runs.

        Database:
            One UPDATE by key.
        """
        held = self._held([reservation], {JobState.IN_PROGRESS})
        return held.update(progress=percent, progress_message=message) == 1

    def release(self, reservations: Sequence[Reservation], now: datetime | None = None) -> int:
        """Give RESERVED rows back unharmed; return how many still were ours.

        Database:
            One UPDATE.
        """
        if not reservations:
            return 0
        return self._held(reservations, {JobState.RESERVED}).update(
            state=JobState.AVAILABLE, updated_at=self.clock(now), **FREED
        )

    def _among(
        self, reservations: Sequence[Reservation], held: models.QuerySet[JobRecord]
    ) -> list[Reservation]:
        """Return those of *reservations* whose rows are *held*."""
        fences = set(held.values_list("pk", *FENCE))
        return [each for each in reservations if (each.id, *each.fence) in fences]
