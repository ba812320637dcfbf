"""What a worker counts of that which it settles, and when it writes it."""

from datetime import timedelta

import pytest
from django.db import DataError
from django.utils import timezone

from django_jobflow import maintain
from django_jobflow.attempts import RESERVATION_FIELDS, Reservation
from django_jobflow.endings import decide
from django_jobflow.engines import engine_for
from django_jobflow.history import MINUTE, RUN, WAIT, WORDS, beginning, class_of
from django_jobflow.maintain import Remains
from django_jobflow.models import History
from django_jobflow.outcomes import (
    Cancelled,
    Discarded,
    ErrorInfo,
    Failed,
    Released,
    Snoozed,
    Succeeded,
)
from django_jobflow.worker import estate
from django_jobflow.worker.tallies import ALL_MEASURED, SHARE_MEASURED, Tallies
from tests.app import jobs
from tests.factories import JobRecordFactory

ERROR = ErrorInfo("x.Error", "No.")
ENDS = {
    Succeeded(): "succeeded",
    Failed(ERROR): "retried",
    Discarded(ERROR): "discarded",
    Cancelled(ERROR): "cancelled",
    Snoozed(timedelta(0)): "snoozed",
    Released(): "released",
}


def reservation(number=1, **facts):
    """Return what a worker holds of a record that has been due for three seconds."""
    due = timezone.now() - timedelta(seconds=3)
    record = JobRecordFactory.build(
        **{"id": number, "name": "tests.app.jobs.add", "max_attempts": 9, "available_at": due}
        | facts
    )
    return Reservation(**{name: getattr(record, name) for name in RESERVATION_FIELDS})


def endings(outcome, count, **facts):
    return [decide(reservation(number, **facts), outcome) for number in range(count)]


def add(tallies, found, seconds=0.015):
    """Let all of *found* be written, each after so many *seconds* of its body."""
    ids = {each.reservation.id for each in found}
    tallies.add(found, ids, dict.fromkeys(ids, seconds))


def numbers():
    """Return what was written, by queue."""
    return dict(History.objects.values_list("queue", "numbers"))


@pytest.mark.django_db
class CountingTests:
    @pytest.fixture
    def tallies(self):
        return Tallies(engine_for("default"))

    def test_ends_are_counted_by_queue_and_outcome(self, tallies):
        for outcome in ENDS:
            add(tallies, endings(outcome, 2, queue="a"))
        add(tallies, endings(Failed(ERROR), 3, queue="b", max_attempts=0))

        tallies.write()

        found = numbers()
        assert {WORDS[WAIT][class_of(3)]: 12, WORDS[RUN][class_of(0.015)]: 12} | dict.fromkeys(
            ENDS.values(), 2
        ) == found["a"]
        assert 3 == found["b"]["failed"]

    def test_what_was_lost_to_another_is_not_counted(self, tallies):
        tallies.add(endings(Succeeded(), 3), {1}, {0: 1.0, 1: 1.0, 2: 1.0})

        tallies.write()

        assert 1 == numbers()["default"]["succeeded"]

    def test_what_was_never_begun_has_no_durations(self, tallies):
        tallies.add(endings(Discarded(ERROR), 1), {0}, {})

        tallies.write()

        assert {"default": {"discarded": 1}} == numbers()

    def test_what_ended_without_the_worker_is_counted(self, tallies):
        JobRecordFactory(state="IN_PROGRESS", lapsed=True, max_attempts=1, queue="a")
        JobRecordFactory(state="IN_PROGRESS", lapsed=True, max_attempts=2, queue="b")
        JobRecordFactory(state="RESERVED", lapsed=True, queue="c")
        JobRecordFactory(state="SCHEDULED", expires_at=timezone.now(), queue="d")

        maintain.rescue(tallies.engine, note=tallies.note)
        tallies.write()

        assert {"a": {"failed": 1}, "b": {"retried": 1}, "d": {"discarded": 1}} == numbers()

    def test_what_dead_workers_had_begun_is_counted_by_who_frees_it(self):
        """In a process of its own, which ends when it has."""
        held = {"state": "IN_PROGRESS", "reserved_by": "h:1"}
        overdue = JobRecordFactory(**held, max_attempts=1, queue="a")
        JobRecordFactory(**held, max_attempts=1, queue="b")
        JobRecordFactory(**held, max_attempts=2, queue="b")
        JobRecordFactory(state="RESERVED", reserved_by="h:1", queue="c")
        died = Remains(worker="h:1", cause="died", overdue=frozenset({(overdue.pk, 1)}))

        estate.rescue("default", [died, Remains(worker="h:2", cause="died")])

        assert {"a": {"failed": 1}, "b": {"failed": 1, "retried": 1}} == numbers()

    def test_moment_before_the_enqueue_is_none_that_it_waited_since(self, tallies):
        yesterday = timezone.now() - timedelta(days=1)
        now = timezone.now() - timedelta(seconds=3)

        add(tallies, endings(Succeeded(), 1, available_at=yesterday, created_at=now))
        tallies.write()

        assert 1 == numbers()["default"][WORDS[WAIT][class_of(3)]]

    def test_of_many_a_part_is_measured_for_all(self, tallies):
        count = ALL_MEASURED + 10 * SHARE_MEASURED
        day = timedelta(days=1)  # beside which it does not matter how long this takes
        since = timezone.now() - day

        add(tallies, endings(Succeeded(), count, created_at=since, available_at=since))

        tallies.write()
        [found] = numbers().values()
        assert {count} == set(found.values())
        assert {
            "succeeded",
            WORDS[WAIT][class_of(day.total_seconds())],
            WORDS[RUN][class_of(0.015)],
        } == set(found)

    def test_nothing_is_written_twice_or_for_nothing(self, tallies, django_assert_num_queries):
        add(tallies, endings(Succeeded(), 1))
        tallies.write()

        with django_assert_num_queries(0):
            tallies.write()
            tallies.write_if_due()

        assert (1, float("inf")) == (History.objects.count(), tallies.due_at)

    def test_second_row_waits_for_its_time(self, tallies):
        add(tallies, endings(Succeeded(), 1))
        tallies.write_if_due()
        add(tallies, endings(Succeeded(), 1))
        tallies.write_if_due()
        assert 1 == History.objects.count()

        tallies._due_at = 0.0
        tallies.write_if_due()

        assert 2 == History.objects.count()

    def test_row_is_of_the_minute_by_the_clock_of_the_database(self, tallies):
        before = beginning(tallies.engine.now(), MINUTE)

        add(tallies, endings(Succeeded(), 1))
        tallies.write()

        assert before <= History.objects.get().start <= tallies.engine.now()

    def test_wait_is_by_the_clock_of_the_database(self, tallies, monkeypatch):
        add(tallies, endings(Succeeded(), 1))
        ahead = tallies.engine.now() + timedelta(seconds=100)
        monkeypatch.setattr(tallies.engine, "now", lambda: ahead)
        tallies.write()

        add(tallies, endings(Succeeded(), 1))
        tallies.write()

        waits = [WORDS[WAIT][class_of(3)], WORDS[WAIT][class_of(103)]]
        rows = [row.numbers for row in History.objects.order_by("pk")]
        assert all(wait in row for wait, row in zip(waits, rows, strict=True))

    def test_wait_begins_no_sooner_than_the_job_was_there(self, tallies):
        now = timezone.now()
        facts = {"created_at": now - timedelta(seconds=3), "available_at": now - timedelta(days=1)}

        add(tallies, endings(Succeeded(), 1, **facts))
        tallies.write()

        assert 1 == numbers()["default"][WORDS[WAIT][class_of(3)]]

    def test_numbers_that_are_refused_are_dropped(self, tallies, monkeypatch, caplog):
        def refuse(*_):
            raise DataError("Too long.")

        monkeypatch.setattr(tallies.engine, "write_history", refuse)
        add(tallies, endings(Succeeded(), 1))

        tallies.write()

        assert "history_not_written" in caplog.text
        assert float("inf") == tallies.due_at

    def test_nothing_is_counted_where_nothing_is_kept(self, settings):
        settings.JOBFLOW = {"RETAIN_HISTORY": 0}
        tallies = Tallies(engine_for("default"))

        add(tallies, endings(Succeeded(), 1))
        tallies.write()

        assert not History.objects.exists()


def test_worker_writes_what_it_has_counted_when_it_ends(drain, tmp_path):
    jobs.add.enqueue(1)
    jobs.note.enqueue(str(tmp_path / "notes"), "x")

    drain()

    found = {queue: row["succeeded"] for queue, row in numbers().items()}
    assert {"default": 1, "notes": 1} == found
