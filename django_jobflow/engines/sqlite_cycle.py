"""SQLite: the statements of a worker's cycle.

The ORM has no UPDATE that returns rows or joins a list of values: json_each makes rows of one
parameter, so that a statement carries any number of attempts, and is parsed only once.
"""

from __future__ import annotations

from collections.abc import Iterable

from django_jobflow.attempts import FENCE
from django_jobflow.engines.settling import KEPT
from django_jobflow.engines.statements import JOB, ORDER, RESERVED_COLUMNS, SUCCEEDED
from django_jobflow.models import Limit
from django_jobflow.states import ENDED, KEYED

RESERVE = f"""
    UPDATE {JOB} SET state = 'RESERVED', reserved_by = %(worker)s, reserved_at = %(now)s,
        reserved_count = reserved_count + 1, expires = %(expires)s, updated_at = %(now)s
    WHERE id IN ({{ids}}) RETURNING {RESERVED_COLUMNS}"""

# The sign before a column keeps an index on it out of the plan: each row is to be found by its
# id, not among all that are in its state.
START = f"""
    UPDATE {JOB} SET state = 'IN_PROGRESS', attempt = {JOB}.attempt + 1,
        started_at = %(now)s, expires = %(expires)s, updated_at = %(now)s
    FROM (SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS attempt,
        json_extract(value, '$[2]') AS worker, json_extract(value, '$[3]') AS count
        FROM json_each(%(held)s)) AS held
    WHERE {JOB}.id = held.id AND +{JOB}.state = 'RESERVED'
        AND {JOB}.attempt = held.attempt AND {JOB}.reserved_by = held.worker
        AND {JOB}.reserved_count = held.count AND {JOB}.expires > %(now)s
    RETURNING id, reserved_count"""

# What this worker is not to execute is only promised to it: no attempt is counted.
ABLE = """(name IN (SELECT value FROM json_each(%(names)s))
    AND (expires_at IS NULL OR expires_at > %(now)s))"""
TAKE = f"""
    UPDATE {JOB} SET reserved_by = %(worker)s, reserved_at = %(now)s,
        reserved_count = reserved_count + 1, updated_at = %(now)s,
        state = CASE WHEN {ABLE} THEN 'IN_PROGRESS' ELSE 'RESERVED' END,
        attempt = attempt + {ABLE},
        started_at = CASE WHEN {ABLE} THEN %(now)s ELSE started_at END,
        expires = CASE WHEN {ABLE} THEN %(leased)s ELSE %(promised)s END
    WHERE id IN ({{ids}}) RETURNING {RESERVED_COLUMNS}, state"""

HOLDS = f"""
    SELECT id, state, {", ".join(FENCE)} FROM {JOB}
    WHERE id IN (SELECT value FROM json_each(%(ids)s))"""

KEEP = f"""
    INSERT INTO {SUCCEEDED} (id, {", ".join(KEPT)}, result, succeeded_at)
    SELECT job.id, {", ".join(f"job.{column}" for column in KEPT)}, ended.result, %(now)s
    FROM (SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS result
        FROM json_each(%(ended)s)) AS ended
    CROSS JOIN {JOB} AS job ON job.id = ended.id"""

REMOVE = f"DELETE FROM {JOB} WHERE id IN (SELECT value FROM json_each(%(ids)s))"

# The first in the line of each of many keys: one index range for each, in one text for any
# number.
FIRST_IN_LINE = f"""
    SELECT first.number, -job.priority, job.available_at, job.id, job.name,
        (SELECT id FROM {Limit._meta.db_table} WHERE kind = 'key' AND value = first.key
            AND is_override)
    FROM (SELECT wanted.key AS number, json_extract(wanted.value, '$[1]') AS key,
            (SELECT id FROM {JOB} WHERE state = 'WAITING' AND parked_for IS NULL
                AND "partition" = json_extract(wanted.value, '$[0]')
                AND execution_key = json_extract(wanted.value, '$[1]')
                ORDER BY {ORDER} LIMIT 1) AS id
        FROM json_each(%(keys)s) AS wanted) AS first
    CROSS JOIN {JOB} AS job ON job.id = first.id"""

HAND = f"""
    UPDATE {JOB} SET state = 'AVAILABLE', held_execution_key = turn.digest, updated_at = %(now)s
    FROM (SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS digest
        FROM json_each(%(grants)s)) AS turn
    WHERE {JOB}.id = turn.id AND +{JOB}.state = 'WAITING' AND parked_for IS NULL
    RETURNING id"""


def _is_one_of(states: Iterable[str]) -> str:
    return f"ended.state IN ({', '.join(repr(str(state)) for state in sorted(states))})"


END = f"""
    UPDATE {JOB} SET state = ended.state, attempt = ended.attempt, reserved_by = NULL,
        reserved_at = NULL, expires = NULL, updated_at = %(now)s,
        available_at = COALESCE(ended.available_at, {JOB}.available_at),
        finished_at = CASE WHEN {_is_one_of(ENDED)} THEN %(now)s END,
        held_queue_key = CASE WHEN NOT {_is_one_of(ENDED)} THEN held_queue_key END,
        held_execution_key = CASE WHEN {_is_one_of(KEYED)} THEN held_execution_key END,
        errors = COALESCE(ended.errors, {JOB}.errors),
        meta = COALESCE(ended.meta, {JOB}.meta), fingerprint = ended.fingerprint
    FROM (SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS state,
        json_extract(value, '$[2]') AS attempt, json_extract(value, '$[3]') AS available_at,
        json_extract(value, '$[4]') AS errors, json_extract(value, '$[5]') AS meta,
        json_extract(value, '$[6]') AS fingerprint
        FROM json_each(%(ended)s)) AS ended
    WHERE {JOB}.id = ended.id"""
