"""PostgreSQL: a cycle whose ends free execution keys, in one statement as well."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django_jobflow.attempts import Demand, Ending, key_digest
from django_jobflow.engines.postgresql_cycle import TAKEN_VALUES
from django_jobflow.engines.postgresql_ends import in_places
from django_jobflow.engines.postgresql_promoting import OF_KEY
from django_jobflow.engines.statements import JOB, ORDER
from django_jobflow.models import Limit

LIMIT = Limit._meta.db_table

# Whoever has ended held the one place of a key, so that nobody else does: this reads what the
# DELETE returns, not the table, in which the statement still sees the holder.
NEXT = f"""next AS (
    SELECT line.*, ended.held_execution_key AS digest, ended.id AS from_id FROM gone AS ended
    CROSS JOIN LATERAL (
        SELECT id, priority, available_at, {{served}} AS is_served FROM {JOB} AS job
        WHERE state = 'WAITING' AND parked_for IS NULL
            AND partition = ended.partition AND execution_key = ended.execution_key
        ORDER BY {ORDER} LIMIT 1) AS line
    WHERE ended.held_execution_key =
            (%(digests)s::text[])[width_bucket(ended.id, %(gone_ids)s::bigint[])]
        AND NOT EXISTS (SELECT FROM {LIMIT} AS wanted
            WHERE {OF_KEY.replace("wanted.key", "ended.execution_key")} OFFSET 0)
)"""

# In one order with what is AVAILABLE, so that a key gives nobody a place before others.
RANKED = f"""ranked AS (
    SELECT id, digest, from_id, is_served AND
        row_number() OVER (ORDER BY is_served DESC, {ORDER}) <= %(limit)s AS is_ours
    FROM (SELECT id, priority, available_at, NULL::text AS digest, NULL::bigint AS from_id,
            true AS is_served FROM ({{ids}}) AS first
        UNION ALL SELECT id, priority, available_at, digest, from_id, is_served FROM next) AS every
), lists AS (
    SELECT array_agg(id) FILTER (WHERE is_ours) AS ours,
        array_agg(id) FILTER (WHERE NOT is_ours AND from_id IS NOT NULL) AS others,
        array_agg(id ORDER BY id) FILTER (WHERE from_id IS NOT NULL) AS ids,
        array_agg(digest ORDER BY id) FILTER (WHERE from_id IS NOT NULL) AS digests,
        array_agg(from_id ORDER BY id) FILTER (WHERE from_id IS NOT NULL) AS from_ids
    FROM ranked
)"""

AT = "width_bucket(job.id, (SELECT ids FROM lists))"
WAITS = "job.state = 'WAITING' AND job.parked_for IS NULL"
HANDED = f"""{NEXT}, {RANKED}, taken AS (
    UPDATE {JOB} AS job SET {TAKEN_VALUES}, held_execution_key = CASE WHEN {WAITS}
        THEN (SELECT digests FROM lists)[{AT}] ELSE job.held_execution_key END
    WHERE job.id = ANY((SELECT ours FROM lists)::bigint[])
        AND CASE WHEN job.state = 'AVAILABLE' OR ({WAITS}) THEN true ELSE false END
    RETURNING *
), turned AS (
    UPDATE {JOB} AS job SET state = 'AVAILABLE', updated_at = {{moment}},
        held_execution_key = (SELECT digests FROM lists)[{AT}]
    WHERE job.id = ANY((SELECT others FROM lists)::bigint[])
        AND CASE WHEN {WAITS} THEN true ELSE false END
    RETURNING (SELECT from_ids FROM lists)[{AT}] AS from_id
)"""

TURNED = "SELECT from_id FROM turned"
COLUMNS = "id, priority, available_at"


def handing(demand: Demand, endings: Iterable[Ending], values: dict[str, Any]) -> dict[str, str]:
    """Return what a cycle is made of that gives on the keys of *endings*.

    Args:
        values: Gets the parameters.
    """
    values["digests"] = digests(endings)
    served = "true"
    if demand.queues is not None:
        values["served"] = [*demand.queues]
        served = "queue = ANY(%(served)s::text[]) AND partition = ''"
    return {"taking": HANDED.replace("{served}", served), "told": TURNED}


def digests(endings: Iterable[Ending]) -> list[str | None]:
    """Return the first place of the key of each success, in the order of ``gone_ids``."""
    gone = [ending.reservation for ending in endings if ending.state is None]
    return [
        each.execution_key and key_digest(each.partition, each.execution_key)
        for each in sorted(gone, key=in_places)
    ]
