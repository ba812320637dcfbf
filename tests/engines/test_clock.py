import time
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from django_jobflow import Job
from django_jobflow.endings import decide
from django_jobflow.models import JobRecord
from django_jobflow.outcomes import Snoozed
from django_jobflow.states import JobState
from tests.engines.contract import HOUR, MINUTE, NOON, SECOND, Contract, make, stored

SESSION_ZONE = {"mysql": "SET time_zone = '+05:00'", "postgresql": "SET TIME ZONE '+05:00'"}
USUAL_ZONE = {"mysql": "SET time_zone = @@global.time_zone", "postgresql": "SET TIME ZONE 'UTC'"}


@contextmanager
def session_in_another_zone():
    with connection.cursor() as cursor:
        cursor.execute(SESSION_ZONE[connection.vendor])
        try:
            yield
        finally:
            cursor.execute(USUAL_ZONE[connection.vendor])


class ClockTests(Contract):
    def test_moment_is_given_and_comes_back(self):
        assert NOON == self.engine.now(NOON)

    def test_clock_of_the_database_is_aware_and_goes_on(self):
        first, second = self.engine.now(), self.engine.now()

        assert timedelta(0) == first.utcoffset()
        assert timedelta(0) <= second - first < HOUR
        assert abs(first - timezone.now()) < HOUR  # it may be another host's clock

    def test_clock_has_microseconds(self):
        moments = [self.engine.now().microsecond for _ in range(20)]

        assert any(moment % 1000 for moment in moments)

    def test_stored_moment_has_the_microseconds_of_the_clock(self):
        make()
        before = self.engine.now()

        [record] = JobRecord.objects.reserve(1, worker="w")

        assert before <= record.reserved_at <= self.engine.now()

    def test_moment_with_a_distance_is_that_much_later(self):
        make()
        before = self.engine.now()

        [record] = JobRecord.objects.reserve(1, worker="w", timeout=timedelta(microseconds=1))

        assert before <= record.expires - timedelta(microseconds=1) <= self.engine.now()

    @pytest.mark.skipif(
        connection.vendor not in SESSION_ZONE, reason="A session has no time zone here."
    )
    def test_time_zone_of_the_session_changes_nothing(self):
        due = make(JobState.SCHEDULED, available_at=timezone.now() - SECOND)
        early = make(JobState.SCHEDULED, available_at=timezone.now() + HOUR)

        with session_in_another_zone():
            activated = JobRecord.objects.activate_scheduled()
            moment = self.engine.now()

        assert 1 == activated
        assert (JobState.AVAILABLE, JobState.SCHEDULED) == (
            stored(due).state,
            stored(early).state,
        )
        assert abs(moment - timezone.now()) < HOUR


class WrongClockTests(Contract):
    """The host's clock is an hour ahead or behind; only the database's is asked."""

    @pytest.fixture(autouse=True, params=[HOUR, -HOUR], ids=["ahead", "behind"])
    def host_clock(self, request, served_by, monkeypatch):
        right_now, right_time = timezone.now, time.time
        monkeypatch.setattr(timezone, "now", lambda: right_now() + request.param)
        monkeypatch.setattr(time, "time", lambda: right_time() + request.param.total_seconds())

    def is_now(self, moment, plus=timedelta(0)):
        return abs(moment - plus - self.engine.now()) < MINUTE

    def test_life_of_a_job_is_by_the_database(self):
        class Mail(Job):
            def perform(self):
                pass

        record = Mail.enqueue()
        later = Mail.using(delay=600).enqueue()
        [held] = self.engine.reserve(limit=9, worker="w", queues=None, timeout=2 * MINUTE)
        assert self.is_now(stored(record).expires, plus=2 * MINUTE)
        self.engine.start([held], lease=3 * MINUTE)
        assert self.is_now(stored(record).expires, plus=3 * MINUTE)
        self.engine.extend([held], lease=5 * MINUTE)
        assert self.is_now(stored(record).expires, plus=5 * MINUTE)

        assert 0 == JobRecord.objects.activate_scheduled()
        assert 0 == JobRecord.objects.activate_expired()
        assert self.is_now(stored(later).available_at, plus=10 * MINUTE)
        assert {record.pk} == self.engine.settle([decide(held, Snoozed(10 * MINUTE))])
        assert self.is_now(stored(record).available_at, plus=10 * MINUTE)

    def test_lapsed_lease_is_lapsed(self):
        now = self.engine.now()
        record = make(JobState.IN_PROGRESS, expires=now - MINUTE, attempt=1, max_attempts=2)
        other = make(JobState.IN_PROGRESS, expires=now + MINUTE, attempt=1, max_attempts=2)

        assert 1 == JobRecord.objects.activate_expired()

        assert (JobState.AVAILABLE, JobState.IN_PROGRESS) == (
            stored(record).state,
            stored(other).state,
        )
