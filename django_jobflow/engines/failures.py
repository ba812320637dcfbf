"""Counting failures: rows that are only added, and groups that a worker folds them into."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import models

from django_jobflow.engines.ground import Ground
from django_jobflow.failures import Failures
from django_jobflow.models import (
    FailureGroup,
    FailureOccurrence,
    JobRecord,
    Release,
    Worker,
)
from django_jobflow.models.failures import forgotten_since

FOLD_BATCH = 1000  # occurrences that one transaction folds
WRITE_BATCH = 100  # groups in one UPDATE
FOLDED = ["count", "first_seen_at", "last_seen_at", "last_job_id", "names", "releases", "history"]


# A loose index scan: from one kind to the next behind it, however many have failed of each. The
# place in the row ends it before the depth of a recursion that MySQL allows.
FIRST_OF_EACH = """
    WITH RECURSIVE kinds (fingerprint, place) AS (
        SELECT (SELECT MIN(fingerprint) FROM {job} WHERE fingerprint IS NOT NULL), 1
        UNION ALL
        SELECT (SELECT MIN(job.fingerprint) FROM {job} AS job
            WHERE job.fingerprint > kinds.fingerprint), place + 1
        FROM kinds WHERE kinds.fingerprint IS NOT NULL AND place < %s
    ) SELECT (SELECT MIN(job.id) FROM {job} AS job WHERE job.fingerprint = kinds.fingerprint)
        FROM kinds WHERE kinds.fingerprint IS NOT NULL"""


class Grouping(Ground):
    """The verbs on groups of failures."""

    @property
    def failure_groups(self) -> models.QuerySet[FailureGroup]:
        return FailureGroup._base_manager.using(self.alias)

    @property
    def failure_occurrences(self) -> models.QuerySet[FailureOccurrence]:
        return FailureOccurrence._base_manager.using(self.alias)

    def append_failures(
        self, failures: Sequence[Failures], release: str, now: datetime | None = None
    ) -> None:
        """Note *failures*, to be folded into their groups.

        Database:
            One INSERT, however many failed.
        """
        moment = self.clock(now)
        self.failure_occurrences.bulk_create(
            FailureOccurrence(
                fingerprint=each.fingerprint.digest,
                exception=each.fingerprint.exception,
                place=each.fingerprint.place,
                message=each.fingerprint.message,
                name=each.name,
                release=release,
                count=each.count,
                job_id=each.job_id,
                at=moment,
            )
            for each in failures
        )

    def fold_failures(self) -> int:
        """Fold what was appended into its groups; return how many rows that were.

        Two may fold at a time: each takes rows that the other has not locked, and groups are
        locked in the order of their fingerprints.

        Database:
            One SELECT while there is nothing. Else for each 1,000 rows two SELECTs, one DELETE
            and an UPDATE for each 100 groups; one INSERT and one SELECT more where some are new.
        """
        total = 0
        while count := self._fold_batch():
            total += count
            if count < FOLD_BATCH:
                break
        return total

    def _fold_batch(self) -> int:
        with self.transaction():
            found: Any = self.failure_occurrences.order_by("pk")
            rows = list(self.locked(found, skip=True)[:FOLD_BATCH])
            if not rows:
                return 0
            by_kind: dict[str, list[FailureOccurrence]] = defaultdict(list)
            for row in rows:
                by_kind[row.fingerprint].append(row)
            groups = self._locked_groups(by_kind)
            if missing := by_kind.keys() - groups.keys():
                self._begin_groups([by_kind[kind] for kind in sorted(missing)])
                groups |= self._locked_groups(missing)
            for kind, group in groups.items():
                for row in by_kind[kind]:
                    group.absorb(row)
            ordered = [groups[kind] for kind in sorted(groups)]
            self.failure_groups.bulk_update(ordered, FOLDED, batch_size=WRITE_BATCH)
            # Of a group that was pruned just now, the rows stay for the next time.
            folded = [row.pk for row in rows if row.fingerprint in groups]
            self.failure_occurrences.filter(pk__in=folded)._raw_delete(self.alias)
        return len(folded)

    def _locked_groups(self, kinds: Iterable[str]) -> dict[str, FailureGroup]:
        rows: Any = self.failure_groups.filter(pk__in=sorted(kinds)).order_by("pk")
        return {group.pk: group for group in self.locked(rows, skip=False)}

    def _begin_groups(self, kinds: Sequence[Sequence[FailureOccurrence]]) -> None:
        """Store groups that count nothing yet; another may do so at the same time."""
        self.failure_groups.bulk_create(
            [
                FailureGroup(
                    fingerprint=first.fingerprint,
                    exception=first.exception,
                    place=first.place,
                    message=first.message,
                    first_seen_at=first.at,
                    last_seen_at=first.at,
                    last_job_id=first.job_id,
                )
                for first, *_ in kinds
            ],
            ignore_conflicts=True,
        )

    def first_of_each_kind(self, most: int) -> list[int]:
        """Return the id of a failed job of each kind of failure, of *most* kinds.

        Database:
            One statement: two entries of ``jobflow_job_fingerprint`` for each kind.
        """
        table = self.connection.ops.quote_name(JobRecord._meta.db_table)
        found = self._returned(FIRST_OF_EACH.format(job=table), [most])
        return [pk for (pk,) in found if pk is not None]

    def mute_failures(
        self, fingerprint: str, *, until: datetime | timedelta | None, by: str
    ) -> bool:
        """Mute a group until a moment, for a time, or until somebody unmutes it."""
        end = self.clock(None, until) if isinstance(until, timedelta) else until
        rows = self.failure_groups.filter(pk=fingerprint)
        return bool(rows.update(muted_at=self.clock(None), muted_until=end, muted_by=by))

    def unmute_failures(self, fingerprint: str) -> bool:
        """Mute a group no more; say whether it was muted."""
        was_muted = self.is_muted(fingerprint)
        rows = self.failure_groups.filter(pk=fingerprint, muted_at__isnull=False)
        rows.update(muted_at=None, muted_until=None, muted_by="")
        return was_muted

    def is_muted(self, fingerprint: str) -> bool:
        """Say whether a group is muted now: one SELECT by key."""
        rows: Any = FailureGroup.objects.using(self.alias).filter(pk=fingerprint)
        return bool(rows.muted(self.clock(None)).exists())

    def old_failures(self, retain: timedelta, now: datetime) -> models.QuerySet[FailureGroup]:
        """Return the groups that were not seen for *retain*, and are not muted."""
        return self.failure_groups.filter(forgotten_since(retain, now))

    def note_release(self, release: str) -> None:
        """Store a *release*, unless it is known or empty: one INSERT."""
        if release:
            rows = Release._base_manager.using(self.alias)
            rows.bulk_create(
                [Release(name=release, first_seen_at=self.clock(None))], ignore_conflicts=True
            )

    def last_release(self) -> Release | None:
        """Return the release that was reported first last: one SELECT."""
        rows = Release._base_manager.using(self.alias)
        return rows.order_by("-first_seen_at").first()

    def old_releases(self, retain: timedelta, now: datetime) -> models.QuerySet[Release]:
        """Return the releases since whose first report *retain* has passed.

        Without the last one, which says what is new, and without those that workers are of: they
        would report themselves as new ones.

        Database:
            One SELECT, before the query.
        """
        rows = Release._base_manager.using(self.alias)
        last = self.last_release()
        served = Worker._base_manager.using(self.alias).values("release")
        old = rows.filter(first_seen_at__lte=now - retain).exclude(pk__in=served)
        return old if last is None else old.exclude(pk=last.pk)
