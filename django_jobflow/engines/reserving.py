"""Promising records to a worker, starting them, and holding on to them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db.models import F

from django_jobflow import states
from django_jobflow.attempts import RESERVATION_FIELDS, Reservation
from django_jobflow.engines.ground import FREED, Ground
from django_jobflow.models.querysets import OF_ANY_QUEUE, RESERVE_ORDER
from django_jobflow.states import JobState


class Reserving(Ground):
    """The verbs of the rooms *reserve* and *execute*."""

    def waiting_queues(self) -> list[str]:
        """Return the names of the queues that have AVAILABLE rows."""
        rows = self.records.filter(state=JobState.AVAILABLE).order_by("queue")
        return list(rows.values_list("queue", flat=True).distinct())

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
            One ordered index range for each queue, or one for all, and one UPDATE by key.
        """
        with self.transaction():
            found = self._candidates(limit, queues)
            ids = [reservation.id for reservation in found]
            moment = self.clock(now)
            changed = (
                self.records.filter(pk__in=ids, state=JobState.AVAILABLE).update(
                    state=JobState.RESERVED,
                    reserved_by=worker,
                    reserved_at=moment,
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
        return found

    def _candidates(self, limit: int, queues: Sequence[str] | None) -> list[Reservation]:
        available = self.records.filter(state=JobState.AVAILABLE).order_by(*RESERVE_ORDER)
        ranges = (
            [available.filter(OF_ANY_QUEUE)]
            if queues is None
            else [available.filter(queue=queue) for queue in dict.fromkeys(queues)]
        )
        found = [
            Reservation(*row)
            for rows in ranges
            for row in self.locked(rows, skip=True).values_list(*RESERVATION_FIELDS)[:limit]
        ]
        if len(ranges) > 1:
            found.sort(key=lambda row: (-row.priority, row.available_at, row.id))
        return found[:limit]

    def _still(self, found: list[Reservation], worker: str) -> list[Reservation]:
        """Return those of *found* that are reserved by *worker*: no row lock held the rest."""
        ids = [reservation.id for reservation in found]
        ours = set(
            self.records.filter(
                pk__in=ids, state=JobState.RESERVED, reserved_by=worker
            ).values_list("pk", flat=True)
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
        rows = self.records.filter(
            pk__in=[reservation.id for reservation in reservations],
            state=JobState.RESERVED,
            expires__gt=self.clock(now),
        )
        standing = set(
            self.locked(rows.order_by("pk"), skip=False).values_list(
                "pk", "attempt", "reserved_by"
            )
        )
        return [
            reservation
            for reservation in reservations
            if (reservation.id, reservation.attempt, reservation.worker) in standing
        ]

    def extend(
        self, ids: Sequence[int], *, worker: str, lease: timedelta, now: datetime | None = None
    ) -> set[int]:
        """Renew the lease of what *worker* holds; return the ids that it does hold.

        Database:
            One UPDATE, and one SELECT when something was lost.
        """
        held = self.records.filter(pk__in=ids, state__in=sorted(states.HELD), reserved_by=worker)
        if not ids:
            return set()
        changed = held.update(expires=self.clock(now, lease))
        if changed == len(ids):
            return set(ids)
        return set(held.values_list("pk", flat=True))

    def cancel_requests(self, ids: Sequence[int], *, worker: str) -> set[int]:
        """Return those of *ids* that somebody asked to cancel while *worker* runs them."""
        asked = self.records.filter(
            pk__in=ids, reserved_by=worker, cancel_requested_at__isnull=False
        )
        return set(asked.values_list("pk", flat=True)) if ids else set()

    def write_progress(self, reservation: Reservation, percent: int, message: str) -> bool:
        """Write how far a running attempt is, if it is still the one that runs."""
        changed = self.records.filter(
            pk=reservation.id,
            state=JobState.IN_PROGRESS,
            reserved_by=reservation.worker,
            attempt=reservation.attempt,
        ).update(progress=percent, progress_message=message)
        return changed == 1

    def release(self, reservations: Sequence[Reservation], now: datetime | None = None) -> int:
        """Give RESERVED rows back unharmed; return how many still were ours.

        Database:
            One UPDATE for each worker and attempt count among them.
        """
        groups: dict[tuple[str, int], list[int]] = defaultdict(list)
        for reservation in reservations:
            groups[reservation.worker, reservation.attempt].append(reservation.id)
        return sum(
            self.records.filter(
                pk__in=ids, state=JobState.RESERVED, reserved_by=worker, attempt=attempt
            ).update(state=JobState.AVAILABLE, updated_at=self.clock(now), **FREED)
            for (worker, attempt), ids in groups.items()
        )
