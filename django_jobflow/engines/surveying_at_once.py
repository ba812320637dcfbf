"""Asking the whole table in one statement, where a planner looks up what it has just found.

A recursive query is the loose index scan that these planners do not have: each step looks up the
next queue, or the next priority, behind the one before. MariaDB would read all that waits at
each step, since a bound that is found in the statement is no end of a range to it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from django_jobflow.engines.ranging import Lanes
from django_jobflow.engines.statements import JOB
from django_jobflow.engines.surveying import HEAD, Surveying, Waits, waited

# An end of the recursion is a row of NULL. A limit ends it, too: neither PostgreSQL nor SQLite
# makes rows of it that nobody reads.
NAMES = f"""names (queue) AS (
        SELECT (SELECT MIN(queue) FROM {JOB} WHERE state = 'AVAILABLE')
        UNION ALL
        SELECT (SELECT MIN(job.queue) FROM {JOB} AS job
            WHERE job.state = 'AVAILABLE' AND job.queue > names.queue)
        FROM names WHERE names.queue IS NOT NULL
    )"""

GIVEN = "names (queue) AS (VALUES {names})"

LANES = f"""lanes (queue, partition) AS (
        SELECT names.queue, (SELECT MIN(job.partition) FROM {JOB} AS job
            WHERE job.state = 'AVAILABLE' AND job.queue = names.queue)
        FROM names WHERE names.queue IS NOT NULL
        UNION ALL
        SELECT lanes.queue, (SELECT MIN(job.partition) FROM {JOB} AS job
            WHERE job.state = 'AVAILABLE' AND job.queue = lanes.queue
                AND job.partition > lanes.partition)
        FROM lanes WHERE lanes.partition IS NOT NULL
    )"""

QUEUES = f"WITH RECURSIVE {NAMES} SELECT queue FROM names WHERE queue IS NOT NULL"

FIND_LANES = f"""
    WITH RECURSIVE {{names}}, {LANES}
    SELECT queue, partition FROM lanes WHERE partition IS NOT NULL"""

# The last of a queue is what was enqueued last, while the first of it were taken, and on
# PostgreSQL lie dead in the index until a vacuum.
NAMES_BACKWARDS = NAMES.replace("MIN(", "MAX(").replace(" > ", " < ")

PARTITIONED = f"""
    WITH RECURSIVE {{names}} SELECT 1 FROM names WHERE queue IS NOT NULL AND (
        SELECT MIN(job.partition) FROM {JOB} AS job WHERE job.state = 'AVAILABLE'
            AND job.queue = names.queue AND job.partition > '') IS NOT NULL LIMIT 1"""

WAITS = f"""
    WITH RECURSIVE {GIVEN}, {LANES}, ranges (queue, partition, priority) AS (
        SELECT lanes.queue, lanes.partition, (SELECT MAX(job.priority) FROM {JOB} AS job
            WHERE job.state = 'AVAILABLE' AND job.queue = lanes.queue
                AND job.partition = lanes.partition)
        FROM lanes WHERE lanes.partition IS NOT NULL
        UNION ALL
        SELECT ranges.queue, ranges.partition, (SELECT MAX(job.priority) FROM {JOB} AS job
            WHERE job.state = 'AVAILABLE' AND job.queue = ranges.queue
                AND job.partition = ranges.partition AND job.priority < ranges.priority)
        FROM ranges WHERE ranges.priority IS NOT NULL
    ) SELECT ranges.queue, ranges.partition, {{clock}}, (
        SELECT MIN(CASE WHEN first_rows.updated_at > first_rows.available_at
            THEN first_rows.updated_at ELSE first_rows.available_at END)
        FROM (SELECT job.available_at, job.updated_at FROM {JOB} AS job
            WHERE job.state = 'AVAILABLE' AND job.queue = ranges.queue
                AND job.partition = ranges.partition AND job.priority = ranges.priority
            ORDER BY job.available_at, job.id LIMIT {HEAD}) AS first_rows)
    FROM ranges WHERE ranges.priority IS NOT NULL"""


class SurveyingAtOnce(Surveying):
    """The verbs in one statement each."""

    def waiting_queues(self, most: int | None = None) -> list[str]:
        if most is None:
            return [name for (name,) in self._returned(QUEUES, [])]
        return [name for (name,) in self._returned(f"{QUEUES} LIMIT %s", [most])]

    def waiting_lanes(self, queues: Collection[str] | None = None) -> Lanes:
        if queues is None:
            return self._lanes(NAMES, ())
        names = sorted(set(queues))
        return (
            self._lanes(GIVEN.format(names=", ".join("(%s)" for _ in names)), names)
            if names
            else []
        )

    def _lanes(self, names: str, values: Sequence[str]) -> Lanes:
        rows = self._returned(FIND_LANES.format(names=names), values)
        return sorted((queue, partition) for queue, partition in rows)

    def has_partitions(self, queues: Collection[str] | None = None) -> bool:
        if queues is None:
            return bool(self._returned(PARTITIONED.format(names=NAMES_BACKWARDS), []))
        names = sorted(set(queues))
        given = GIVEN.format(names=", ".join("(%s)" for _ in names))
        return bool(names and self._returned(PARTITIONED.format(names=given), names))

    def waits(self, queues: Sequence[str], now: datetime | None = None) -> Waits:
        if not queues:
            return {}
        clock, clock_values = self._clock_sql(now)
        statement = WAITS.format(names=", ".join("(%s)" for _ in queues), clock=clock)
        found: Waits = {}
        for queue, partition, *moments in self._returned(statement, [*queues, *clock_values]):
            lane = queue, partition
            found[lane] = max(waited(*moments), found.get(lane, 0.0))
        return found
