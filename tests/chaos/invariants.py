"""What must hold at the end of a run, over every job that was ever enqueued.

All of it is read from the tables by a bare driver, from what triggers noted, and from what the
producer and the bodies wrote into files. Nothing is asked of the code that is put to the proof.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

from tests.chaos.faults import FAULTS
from tests.chaos.stage import Stage
from tests.chaos.workload import CANCELLED, FAILED, KINDS, SUCCEEDED, Kind

WORKER_LOST = "django_jobflow.exceptions.WorkerLost"
LOST_WORKER = re.compile(r"Worker \S+?:(\d+):\S+ ")
OURS = re.compile(r"already closed|connection is closed|closed in transaction", re.IGNORECASE)
"""What only somebody who uses a connection that was closed before gets to hear."""


FORGETFUL = {"server crash"}
"""Faults after which PostgreSQL may have forgotten a start, but never an end."""


SILENCE = 5.0  # seconds after its last beat in which a worker may have come to its end


class Move(NamedTuple):
    """A row of the table of that name."""

    job: int
    before: str
    after: str
    attempt: int
    max_attempts: int
    former: str
    holder: str
    at: float


@dataclass(kw_only=True)
class Row:
    """A record as it stands at the end."""

    id: int
    key: str
    state: str
    attempt: int
    max_attempts: int
    errors: list[dict[str, Any]]


@dataclass(kw_only=True)
class Verdict:
    """What was found.

    Attributes:
        jobs: That were enqueued and committed.
        lost: Of those, the ones that neither ended nor had to be given up.
        doubled: Those that ended, or had an effect in their transaction, more than once.
        given_up: Those whose worker died in their only attempt.
        repeated: Bodies that ran again after an accident.
        violations: What must not be, one sentence each.
    """

    jobs: int
    lost: int
    doubled: int
    given_up: int
    repeated: int
    violations: list[str] = field(default_factory=list)


class Evidence:
    """All that is known at the end of a run."""

    def __init__(self, stage: Stage) -> None:
        self.database = stage.database
        self.enqueued = stage.enqueued.read()
        self.ran = stage.ran.read()
        self.strikes = stage.strikes
        self.victims = {pid for strike in stage.strikes for pid in strike.victims}
        self.forgot = any(strike.fault in FORGETFUL for strike in stage.strikes)

    def was_in_trouble(self, last_beat: float) -> bool:
        """Say whether the database had a fault soon after the last beat of a worker."""
        return any(
            strike.began < last_beat + SILENCE and (strike.ended or strike.began) > last_beat
            for strike in self.strikes
            if FAULTS[strike.fault].lane == "database"
        )

    @cached_property
    def rows(self) -> list[Row]:
        columns = "id, kwargs, attempt, max_attempts, errors"
        found = self.database.execute(
            f"SELECT {columns}, state FROM jobflow_job"
            f" UNION ALL SELECT {columns}, '{SUCCEEDED}' FROM jobflow_succeeded"
        )
        return [
            Row(
                id=pk,
                key=_read(kwargs)["key"],
                state=state,
                attempt=attempt,
                max_attempts=most,
                errors=_read(errors),
            )
            for pk, kwargs, attempt, most, errors, state in found
        ]

    @cached_property
    def by_key(self) -> dict[str, list[Row]]:
        found: dict[str, list[Row]] = defaultdict(list)
        for row in self.rows:
            found[row.key].append(row)
        return found

    @cached_property
    def effects(self) -> Counter[str]:
        return Counter(
            key
            for (key,) in self.database.execute(
                f"SELECT {self.database.quote('key')} FROM chaos_effect"
            )
        )

    @cached_property
    def begun(self) -> Counter[str]:
        return Counter(line["key"] for line in self.ran if line["what"] == "begun")

    @cached_property
    def ended(self) -> Counter[str]:
        return Counter(line["key"] for line in self.ran if line["what"] == "ended")

    @cached_property
    def moves(self) -> dict[int, list[Move]]:
        quoted = ", ".join(map(self.database.quote, Move._fields))
        found = self.database.execute(f"SELECT {quoted} FROM chaos_move ORDER BY job, id")
        moves = (Move(*row) for row in found)
        return {job: list(some) for job, some in groupby(moves, attrgetter("job"))}

    @cached_property
    def outcomes(self) -> dict[str, tuple[str, Kind]]:
        """What the producer knows of each key's transaction, and the kind of job."""
        known: dict[str, tuple[str, Kind]] = {}
        for line in self.enqueued:
            for key, kind in line["kinds"].items():
                known[key] = line["outcome"], KINDS[kind]
        return known


def judge(stage: Stage) -> Verdict:
    """Look at all that is left of a run whose processes have ended."""
    evidence = Evidence(stage)
    violations: list[str] = []
    for look in (enqueued, ended, ran, effects, errors, moves, workers):
        violations += look(evidence)
    jobs = {key for key, rows in evidence.by_key.items() if rows}
    missing = [key for key, (outcome, _) in evidence.outcomes.items() if outcome == "committed"]
    return Verdict(
        jobs=len(jobs),
        lost=sum(key not in jobs for key in missing)
        + sum(row.state not in {SUCCEEDED, FAILED, CANCELLED} for row in evidence.rows),
        doubled=sum(len(rows) > 1 for rows in evidence.by_key.values())
        + sum(count > 1 for count in evidence.effects.values()),
        given_up=sum(is_given_up(row) for row in evidence.rows),
        repeated=sum(
            max(evidence.begun[key] - _planned(kind), 0)
            for key, (_, kind) in evidence.outcomes.items()
            if kind is not KINDS["Snoozed"]
        ),
        violations=violations,
    )


def enqueued(evidence: Evidence) -> Iterator[str]:
    """What was committed is there, once, and what was rolled back never was."""
    by_batch: dict[str, list[str]] = defaultdict(list)
    for key, (outcome, _) in evidence.outcomes.items():
        rows = evidence.by_key.get(key, [])
        if outcome == "committed" and not rows:
            yield f"{key}: it was committed, and is not there."
        if outcome.startswith("rolled back") and (rows or evidence.begun[key]):
            yield f"{key}: it was {outcome}, and is there, or ran {evidence.begun[key]} times."
        if len(rows) > 1:
            yield f"{key}: there are {len(rows)} rows of it."
        by_batch[key.rpartition("-")[0]].append(key)
    for batch, keys in by_batch.items():
        if len({bool(evidence.by_key.get(key)) for key in keys}) > 1:
            yield f"{batch}: a part of the transaction is there, and a part is not."


def ended(evidence: Evidence) -> Iterator[str]:
    """Each record has come to the end of its kind, or has lost its worker in its only attempt."""
    for row in evidence.rows:
        if row.attempt > row.max_attempts:
            yield f"{row.key}: attempt {row.attempt} of {row.max_attempts}."
        kind = _kind(evidence, row.key)
        if row.state != kind.end and not is_given_up(row):
            last = row.errors[-1:] and {**row.errors[-1], "traceback": ""}
            yield f"{row.key}: expected {kind.end}, got {row.state}; {last}."


def is_given_up(row: Row) -> bool:
    """Say whether a record is FAILED since its worker died in its last attempt."""
    return (
        row.state == FAILED
        and row.attempt == row.max_attempts
        and row.errors[-1]["exception"] == WORKER_LOST
    )


def ran(evidence: Evidence) -> Iterator[str]:
    """What has succeeded ran to its end, and began no more often than there were attempts."""
    for row in evidence.rows:
        if row.state == SUCCEEDED and not evidence.ended[row.key]:
            yield f"{row.key}: it has succeeded, and never came to its end."
    starts = Counter(
        (line["key"], line["attempt"]) for line in evidence.ran if line["what"] == "begun"
    )
    given = Counter(
        (move.job, move.attempt)
        for some in evidence.moves.values()
        for move in some
        if move.after == "IN_PROGRESS"
    )
    ids = {row.key: row.id for row in evidence.rows}
    for (key, attempt), count in starts.items():
        if evidence.forgot or key not in ids or _kind(evidence, key) is KINDS["Grouped"]:
            continue
        if count > given[ids[key], attempt]:
            yield f"{key}: attempt {attempt} began {count} times, more often than it was started."


def effects(evidence: Evidence) -> Iterator[str]:
    """What was written in the transaction of an end is there exactly if the end is."""
    for row in evidence.rows:
        kind = _kind(evidence, row.key)
        if kind.effects is not None:
            expected = kind.effects if row.state == SUCCEEDED else 0
            if evidence.effects[row.key] != expected:
                yield (
                    f"{row.key}: expected {expected} effects of one that is {row.state}, "
                    f"got {evidence.effects[row.key]}."
                )
    for key in evidence.effects.keys() - evidence.by_key.keys():
        yield f"{key}: it had an effect, and is not there."


def errors(evidence: Evidence) -> Iterator[str]:
    """No attempt failed for a reason that is not its own, or was lost by a worker that lived."""
    for row in evidence.rows:
        kind = _kind(evidence, row.key)
        for error in row.errors:
            exception, message = error["exception"], error["message"]
            if exception == WORKER_LOST:
                yield from _falsely_lost(evidence, row, message)
            elif exception in kind.failures:
                continue
            elif not kind.asks:
                yield f"{row.key}: it asks no database, and failed with {exception}: {message}"
            elif OURS.search(message) or "InterfaceError" in exception:
                yield f"{row.key}: it was given a dead connection. {exception}: {message}"


def _falsely_lost(evidence: Evidence, row: Row, message: str) -> Iterator[str]:
    named = LOST_WORKER.match(message)
    if named is None or int(named[1]) not in evidence.victims:
        yield f"{row.key}: it was taken from a worker that nobody had killed. {message}"


ENDS = {"", FAILED, CANCELLED}


def moves(evidence: Evidence) -> Iterator[str]:
    """Each record went from state to state without a gap, and ended once."""
    for job, some in evidence.moves.items():
        state = ""
        for move in some:
            if move.before != state or (move.before in ENDS and move is not some[0]):
                yield f"Job {job} went from {state or 'nothing'} by {move}."
            if move.attempt > move.max_attempts:
                yield f"Job {job} came to attempt {move.attempt} of {move.max_attempts}."
            state = move.after


def workers(evidence: Evidence) -> Iterator[str]:
    """No row is left of a worker that was let end, but while its database took nothing."""
    beat = evidence.database.seconds("heartbeat_at")
    rows = evidence.database.execute(f"SELECT name, pid, {beat} FROM jobflow_worker")
    for name, pid, seconds in rows:
        if pid not in evidence.victims and not evidence.was_in_trouble(float(seconds)):
            yield f"The row of worker {name} is left."


def _kind(evidence: Evidence, key: str) -> Kind:
    if key.endswith("/child"):
        return KINDS["Plain"]
    return evidence.outcomes[key][1]


def _planned(kind: Kind) -> int:
    """Return how often a job of this kind begins when nothing happens."""
    return 1 + 2 * (kind is KINDS["Mended"])


def _read(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str | bytes) else value
