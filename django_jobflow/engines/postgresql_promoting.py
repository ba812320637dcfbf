"""PostgreSQL: the lines of all execution keys that became free are read and moved at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django_jobflow.attempts import Reservation, key_digest
from django_jobflow.engines.postgresql_ends import place
from django_jobflow.engines.promoting import Grant, Key, Promoting, places_of
from django_jobflow.engines.statements import JOB, KEYS
from django_jobflow.models import Limit

LIMIT = Limit._meta.db_table

# A limit that an operator has set for a key: it wins over the job, and is seen to apart.
OF_KEY = "kind = 'key' AND value = wanted.key AND is_override"

# One index range for each key, in a statement that is one text for any number of them.
FIRST_IN_LINE = f"""
    SELECT wanted.number, line.*, (SELECT id FROM {LIMIT} WHERE {OF_KEY})
    FROM unnest(%(partitions)s::text[], %(keys)s::text[],
        %(counts)s::int[]) WITH ORDINALITY AS wanted (partition, key, most, number)
    CROSS JOIN LATERAL (
        SELECT -priority, available_at, id, name FROM {JOB}
        WHERE state = 'WAITING' AND parked_for IS NULL
            AND partition = wanted.partition AND execution_key = wanted.key
        ORDER BY priority DESC, available_at, id LIMIT wanted.most) AS line"""

# The rows are found by an array of their ids, sorted, in which each has its place: a join would
# be planned by statistics that may be from a time at which the table was empty.
HAND = f"""
    UPDATE {JOB} AS job SET state = 'AVAILABLE', updated_at = STATEMENT_TIMESTAMP(),
        held_execution_key = (%(digests)s::text[])[{place("turn_ids")}]
    WHERE job.id = ANY(%(turn_ids)s::bigint[])
        AND CASE
            WHEN job.state = 'WAITING' AND job.parked_for IS NULL THEN true ELSE false END
    RETURNING job.id"""

# From those who ended to the next in each line. The places were ours until now, so that nobody
# else can have one: it is only when a job had more places before that another may hold it.
HAND_ON = f"""
    WITH next AS (
        SELECT array_agg(line.id ORDER BY line.id) AS ids,
            array_agg(wanted.digest ORDER BY line.id) AS digests,
            array_agg(wanted.number ORDER BY line.id) AS numbers
        FROM unnest(%(partitions)s::text[], %(keys)s::text[], %(digests)s::text[])
            WITH ORDINALITY AS wanted (partition, key, digest, number)
        CROSS JOIN LATERAL (
            SELECT id FROM {JOB} WHERE state = 'WAITING' AND parked_for IS NULL
                AND partition = wanted.partition AND execution_key = wanted.key
            ORDER BY priority DESC, available_at, id LIMIT 1) AS line
        WHERE NOT EXISTS (SELECT FROM {JOB} WHERE held_execution_key = wanted.digest OFFSET 0)
            AND NOT EXISTS (SELECT FROM {LIMIT} WHERE {OF_KEY} OFFSET 0)
    )
    UPDATE {JOB} AS job SET state = 'AVAILABLE', updated_at = STATEMENT_TIMESTAMP(),
        held_execution_key =
            (SELECT digests FROM next)[width_bucket(job.id, (SELECT ids FROM next))]
    WHERE job.id = ANY((SELECT ids FROM next)::bigint[])
        AND CASE
            WHEN job.state = 'WAITING' AND job.parked_for IS NULL THEN true ELSE false END
    RETURNING (SELECT numbers FROM next)[width_bucket(job.id, (SELECT ids FROM next))]"""


class PostgreSQLPromoting(Promoting):
    """The verbs of execution keys in one statement for each step."""

    def hand_on(self, ended: Sequence[Reservation]) -> None:
        single: list[Reservation] = []
        several: list[Reservation] = []
        for each in ended:
            if each.execution_key:
                (single if places_of(each.name) == 1 else several).append(each)
        super().hand_on(several)
        keys = sorted({(each.partition, each.execution_key or "") for each in single})
        if not keys:
            return
        values = {
            "partitions": [partition for partition, _ in keys],
            "keys": [key for _, key in keys],
            "digests": [key_digest(*key) for key in keys],
        }
        given = {number - 1 for (number,) in self._returned(HAND_ON, values)}
        self._look_again({key: 1 for place, key in enumerate(keys) if place not in given})

    def _first_in_line(self, wanted: Sequence[tuple[Key, int]]) -> list[tuple[Any, ...]]:
        values = {
            "partitions": [partition for (partition, _), _ in wanted],
            "keys": [key for (_, key), _ in wanted],
            "counts": [count for _, count in wanted],
        }
        rows = self._returned(FIRST_IN_LINE, values)
        return [(number - 1, *line) for number, *line in rows]

    def _hand(self, grants: Sequence[Grant]) -> set[int]:
        values = {  # they come in the order of their ids
            "turn_ids": [grant.id for grant in grants],
            "digests": [grant.digest for grant in grants],
        }
        return {pk for (pk,) in self._returned(HAND, values)}

    def _keys_in_line(self) -> list[Key]:
        return [(partition, key) for partition, key in self._returned(KEYS, [])]
