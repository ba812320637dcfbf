"""PostgreSQL: the ends of attempts, as parts of statements and as the values for them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django_jobflow.attempts import Ending, Reservation
from django_jobflow.engines.settling import KEPT
from django_jobflow.engines.statements import JOB, SUCCEEDED, json_text
from django_jobflow.states import ENDED, KEYED

ENDED_STATES = ", ".join(f"'{state.value}'" for state in sorted(ENDED))
KEYED_STATES = ", ".join(f"'{state.value}'" for state in sorted(KEYED))


# What is held comes as arrays, sorted by id. A join with them would be planned by what the
# statistics say of the table: those of a moment at which it was empty promise one row, so that
# all of the table would be read, and each row compared with each place of the arrays.


def place(ids: str) -> str:
    """Return the place in the sorted array *ids* that the row ``job`` has; an expression."""
    return f"width_bucket(job.id, %({ids})s::bigint[])"


def fence(state: str, held: str, worker: str = "%(worker)s") -> str:
    """Return the condition that an attempt still has the row ``job``.

    A CASE, since the planner cannot guess how many rows it lets through.

    Args:
        held: What the names of the arrays begin with.
    """
    at = place(f"{held}_ids")
    return f"""job.id = ANY(%({held}_ids)s::bigint[]) AND CASE WHEN job.state = {state}
        AND job.reserved_by = {worker} AND job.attempt = (%({held}_attempts)s::int[])[{at}]
        AND job.reserved_count = (%({held}_counts)s::int[])[{at}] THEN true ELSE false END"""


# An array that is NULL has nothing but NULLs: mostly there is no result to send.
GONE = f"""gone AS (
    DELETE FROM {JOB} AS job WHERE {fence("'IN_PROGRESS'", "gone")}
    RETURNING job.*, (%(results)s::text[])[{place("gone_ids")}] AS result,
        (%(keeps)s::bool[])[{place("gone_ids")}] AS keep
), kept AS (
    INSERT INTO {SUCCEEDED} (id, {", ".join(KEPT)}, result, succeeded_at)
    SELECT id, {", ".join(KEPT)}, result::jsonb, {{moment}} FROM gone WHERE keep IS NOT FALSE
)"""

OVER = f"""over AS (
    UPDATE {JOB} AS job SET
        reserved_by = NULL, reserved_at = NULL, expires = NULL, updated_at = {{moment}},
        (state, attempt, available_at, finished_at, held_queue_key, held_execution_key, errors,
            meta, fingerprint) = (
            SELECT held.state, (%(attempts_after)s::int[])[at],
                COALESCE({{moment}} + (%(delays)s::interval[])[at], job.available_at),
                CASE WHEN held.state IN ({ENDED_STATES}) THEN {{moment}} END,
                CASE WHEN held.state NOT IN ({ENDED_STATES}) THEN job.held_queue_key END,
                CASE WHEN held.state IN ({KEYED_STATES}) THEN job.held_execution_key END,
                CASE WHEN held.error IS NULL THEN job.errors ELSE job.errors ||
                    jsonb_build_array(held.error || jsonb_build_object('at', {{moment}})) END,
                COALESCE((%(metas)s::text[])[at]::jsonb, job.meta), (%(kinds)s::text[])[at]
            FROM (SELECT at, (%(states)s::text[])[at] AS state,
                    (%(errors)s::text[])[at]::jsonb AS error
                FROM {place("over_ids")} AS at OFFSET 0) AS held)
    WHERE {fence(f"(%(origins)s::text[])[{place('over_ids')}]", "over")}
    RETURNING job.id
)"""

# One success, in the transaction of its job. Short to plan, and prepared by each slot.
GONE_ALONE = f"""WITH gone AS (
    DELETE FROM {JOB} AS job WHERE job.id = %(id)s
        AND CASE WHEN job.state = 'IN_PROGRESS' AND job.attempt = %(attempt)s
            AND job.reserved_by = %(worker)s AND job.reserved_count = %(count)s
            THEN true ELSE false END
    RETURNING *
), kept AS (
    INSERT INTO {SUCCEEDED} (id, {", ".join(KEPT)}, result, succeeded_at)
    SELECT id, {", ".join(KEPT)}, %(result)s::text::jsonb, STATEMENT_TIMESTAMP()
    FROM gone WHERE %(keep)s
) SELECT {{said}} FROM gone /* plan {{plan}} */"""
OR_FAIL = "1 / count(*)"


def end_values(endings: Sequence[Ending]) -> tuple[frozenset[str], dict[str, Any]]:
    """Return which kinds of ends there are, and the parameters that say them."""
    endings = sorted(endings, key=lambda ending: in_places(ending.reservation))
    gone = [ending for ending in endings if ending.state is None]
    over = [ending for ending in endings if ending.state is not None]
    values: dict[str, Any] = {}
    if gone:
        values |= {
            "gone_ids": _numbers(ending.reservation.id for ending in gone),
            "gone_attempts": _numbers(ending.reservation.attempt for ending in gone),
            "gone_counts": _numbers(ending.reservation.reserved_count for ending in gone),
            "results": _unless_empty([json_text(ending.result) for ending in gone]),
            "keeps": None if all(ending.keep for ending in gone) else [e.keep for e in gone],
        }
    if over:
        values |= {
            "over_ids": _numbers(ending.reservation.id for ending in over),
            "over_attempts": _numbers(ending.reservation.attempt for ending in over),
            "over_counts": _numbers(ending.reservation.reserved_count for ending in over),
            "origins": [ending.origin.value for ending in over],
            "states": [ending.state.value for ending in over if ending.state is not None],
            "attempts_after": _numbers(ending.attempt for ending in over),
            "delays": _unless_empty([ending.delay for ending in over]),
            "errors": _unless_empty([json_text(ending.error) for ending in over]),
            "metas": _unless_empty([json_text(ending.meta) for ending in over]),
            "kinds": _unless_empty([ending.failed_as for ending in over]),
        }
    return frozenset(name for name, some in (("gone", gone), ("over", over)) if some), values


def in_places(reservation: Reservation) -> tuple[int, int]:
    """Return what to sort by to have a place for each: of one record the last is found."""
    return reservation.id, reservation.reserved_count


def gone_alone(ending: Ending, plan: int, *, or_fail: bool = False) -> tuple[str, dict[str, Any]]:
    """Return the statement that settles one success, and its parameters.

    Args:
        plan: Another number has the server plan it anew.
        or_fail: Whether it fails, by a division by zero, if the attempt has lost its row.
    """
    reservation = ending.reservation
    return GONE_ALONE.format(plan=plan, said=OR_FAIL if or_fail else "id"), {
        "id": reservation.id,
        "attempt": reservation.attempt,
        "worker": reservation.worker,
        "count": reservation.reserved_count,
        "result": json_text(ending.result),
        "keep": ending.keep,
    }


def _numbers(numbers: Iterable[int]) -> str:
    """Return *numbers* as PostgreSQL writes an array: much quicker than one by one."""
    return "{" + ",".join(map(str, numbers)) + "}"


def _unless_empty(values: list[Any]) -> list[Any] | None:
    return None if all(value is None for value in values) else values
