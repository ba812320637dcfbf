"""Rows that no code may write are refused by the database itself."""

import re

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from django_jobflow import states
from django_jobflow.attempts import key_digest
from django_jobflow.models import JobRecord
from django_jobflow.states import JobState
from tests.factories import JobRecordFactory

pytestmark = pytest.mark.django_db

HELD = sorted(states.HELD)
DIGEST = key_digest("", "k")


def each(some_states, **facts):
    return [{"state": state} | facts for state in sorted(some_states)]


ILLEGAL = {
    "jobflow_job_state": [{"state": "GONE"}, {"state": "available"}, {"state": ""}],
    "jobflow_job_priority": [{"priority": 101}, {"priority": -101}],
    "jobflow_job_attempts": [
        {"state": JobState.FAILED, "attempt": 0, "max_attempts": 0},
        *each(states.ENDED, attempt=4),
        {"state": JobState.IN_PROGRESS, "attempt": 4},
    ],
    "jobflow_job_attempt_left": each(states.ATTEMPT_LEFT, attempt=3),
    "jobflow_job_holder": [
        *each(states.HELD, reserved_by=None),
        *each(states.HELD, reserved_at=None),
        *each(states.HELD, expires=None),
        *each(set(JobState) - states.HELD, reserved_by="host-1:4711", execution_key=None),
        {"expires": "2026-11-21T12:00Z"},
    ],
    "jobflow_job_started": [
        {"state": JobState.IN_PROGRESS, "attempt": 0, "started_at": "2026-11-21T12:00Z"},
        {"state": JobState.IN_PROGRESS, "started_at": None},
    ],
    "jobflow_job_ended_at": [
        *each(states.ENDED, finished_at=None, attempt=1),
        *each(states.UNFINISHED, finished_at="2026-11-21T12:00Z"),
    ],
    "jobflow_job_queue_key_held": [
        *each(states.ENDED, queue_key="k", held_queue_key=DIGEST),
        *each(states.UNFINISHED, queue_key="k", held_queue_key=None),
        *each(states.UNFINISHED, queue_key=None, held_queue_key=DIGEST),
    ],
    "jobflow_job_execution_key_held": [
        *each(set(JobState) - states.KEYED, execution_key="k", held_execution_key=DIGEST),
        *each({JobState.WAITING}, parked_for="j", execution_key="k", held_execution_key=None),
        *each(states.KEYED, execution_key="k", held_execution_key=None),
        *each(states.KEYED, execution_key=None, held_execution_key=DIGEST),
    ],
    "jobflow_job_failed_as": each(set(JobState) - {JobState.FAILED}, fingerprint=DIGEST),
    "jobflow_job_parked_waits": each(set(JobState) - {JobState.WAITING}, parked_for="j"),
}


class CheckConstraintTests:
    @pytest.mark.parametrize(
        ("constraint", "facts"),
        [(constraint, facts) for constraint, rows in ILLEGAL.items() for facts in rows],
    )
    def test_illegal_row_is_refused(self, constraint, facts):
        state = facts.get("state", JobState.AVAILABLE)
        known = state if state in JobState else JobState.AVAILABLE  # the factory refuses others
        record = JobRecordFactory.build(**{**facts, "state": known})
        record.state = state

        with pytest.raises(IntegrityError, match=rf"\b{constraint}\b"), transaction.atomic():
            record.save()

        assert not JobRecord.objects.exists()

    @pytest.mark.parametrize(
        ("constraint", "facts"),
        [
            (constraint, facts)
            for constraint, rows in ILLEGAL.items()
            for facts in rows
            if facts != {"state": "available"}  # outside of the column MySQL folds case
        ],
    )
    def test_validation_refuses_what_the_database_does(self, constraint, facts):
        state = facts.get("state", JobState.AVAILABLE)
        known = state if state in JobState else JobState.AVAILABLE  # the factory refuses others
        record = JobRecordFactory.build(**{**facts, "state": known})
        record.state = state

        with pytest.raises(ValidationError, match=constraint):
            record.validate_constraints()

    @pytest.mark.parametrize("state", sorted(JobState))
    def test_validation_takes_what_is_legal(self, state):
        JobRecordFactory.build(state=state, queue_key="k").validate_constraints()

    def test_every_constraint_is_tried(self):
        assert set(ILLEGAL) == {each.name for each in JobRecord._meta.constraints}

    @pytest.mark.parametrize("facts", [{}, {"queue_key": "k"}, {"execution_key": "k"}])
    @pytest.mark.parametrize("state", sorted(JobState))
    def test_legal_row_is_stored(self, state, facts):
        record = JobRecordFactory(state=state, **facts)

        assert state == JobRecord.objects.get(pk=record.pk).state

    @pytest.mark.parametrize(
        "facts",
        [
            {"priority": 100},
            {"priority": -100},
            {"state": JobState.IN_PROGRESS, "attempt": 3},
            {"state": JobState.RESERVED, "attempt": 2},
            {"state": JobState.FAILED, "attempt": 0},  # refused before it was started
        ],
    )
    def test_row_at_the_edge_is_stored(self, facts):
        record = JobRecordFactory(**facts)

        assert JobRecord.objects.filter(pk=record.pk, **facts).exists()


class UniqueKeyTests:
    @pytest.mark.parametrize("key", ["queue_key", "execution_key"])
    def test_key_is_held_by_one_record(self, key):
        holder = JobRecordFactory(**{key: "k"})

        unique = re.compile(f"held_{key}|jobflow_job_{key}")
        with pytest.raises(IntegrityError, match=unique), transaction.atomic():
            JobRecordFactory(**{key: "k"})

        assert [holder] == list(JobRecord.objects.all())

    @pytest.mark.parametrize("key", ["queue_key", "execution_key"])
    def test_key_is_held_by_one_record_in_each_partition(self, key):
        for partition in ("", "eu", "EU", "eu "):
            JobRecordFactory(**{key: "k", "partition": partition})

        assert 4 == JobRecord.objects.exclude(**{f"held_{key}": None}).count()

    def test_any_number_of_records_hold_no_key(self):
        JobRecordFactory.create_batch(3)
        JobRecordFactory.create_batch(3, state=JobState.FAILED, queue_key="k")
        JobRecordFactory.create_batch(3, state=JobState.WAITING, execution_key="k")

        assert 9 == JobRecord.objects.count()
