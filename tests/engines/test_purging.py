"""Emptying a queue, whatever waits in it."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_jobflow import Job
from django_jobflow.attempts import key_digest
from django_jobflow.control import WAIT
from django_jobflow.engines import engine_for, purging
from django_jobflow.engines.purging import PURGED
from django_jobflow.models import Batch, JobRecord, KeyHold
from django_jobflow.states import ENDED, JobState
from tests.engines.contract import Contract, live, make, make_many
from tests.factories import JobRecordFactory

ALL = frozenset(PURGED)


def of(queue):
    return JobRecord.objects.filter(queue=queue)


class PurgeTests(Contract):
    def purge(self, rows=None, states=WAIT):
        return self.engine.purge(of("default") if rows is None else rows, states)

    def test_all_that_waits_is_deleted(self):
        records = {state: make(state) for state in JobState}

        assert 5 == self.engine.purgeable(of("default"), WAIT) == self.purge()
        left = [*sorted(ENDED), JobState.IN_PROGRESS]
        assert {records[state].pk: state for state in left} == live()

    def test_every_state_but_that_of_what_runs_can_be_purged(self):
        for state in JobState:
            make(state)

        assert 7 == self.engine.purgeable(of("default"), ALL) == self.purge(states=ALL)
        assert [JobState.IN_PROGRESS] == list(live().values())

    def test_only_what_is_asked_for_is_deleted(self):
        make(queue="a", partition="x")
        kept = [make(queue="a"), make(JobState.SCHEDULED, queue="a", partition="x"), make()]

        assert 1 == self.purge(of("a").filter(partition="x"), {JobState.AVAILABLE})
        assert {record.pk for record in kept} == live().keys()

    def test_there_is_nothing_and_nothing_is_deleted(self):
        assert 0 == self.purge()

    @pytest.mark.parametrize("count", [4, 5, 7])
    def test_more_wait_than_one_statement_takes_and_all_go(self, monkeypatch, count):
        monkeypatch.setattr(purging, "PURGE_BATCH", 2)
        monkeypatch.setattr(purging, "PURGE_READ", 4)
        make_many(count, JobState.AVAILABLE)
        make_many(count, JobState.RETRY)

        assert 2 * count == self.purge()
        assert {} == live()

    @pytest.mark.parametrize("most", [1, 3, 4, 6])
    def test_no_more_are_deleted_than_are_wanted(self, monkeypatch, most):
        monkeypatch.setattr(purging, "PURGE_BATCH", 2)
        monkeypatch.setattr(purging, "PURGE_READ", 4)
        make_many(5, JobState.AVAILABLE)
        make_many(2, JobState.RETRY)

        assert most == self.engine.purge(of("default"), WAIT, most=most)
        assert 7 - most == len(live())
        # What waits for its retry goes first.
        assert max(2 - most, 0) == list(live().values()).count(JobState.RETRY)

    @pytest.mark.parametrize("state", [JobState.IN_PROGRESS, JobState.RETRY])
    def test_record_that_moves_on_meanwhile_is_left(self, monkeypatch, state):
        record = make()
        make(JobState.SCHEDULED)

        def overtaken(rows, most):
            [ids] = newest_first(rows, most)
            if ids == [record.pk]:
                [reserved] = JobRecord.objects.reserve(1, worker="w")
                reserved.start()
                if state == JobState.RETRY:
                    reserved.fail(ConnectionError())
            yield ids

        newest_first = purging._newest_first
        monkeypatch.setattr(purging, "_newest_first", overtaken)

        states = {JobState.SCHEDULED, JobState.AVAILABLE}
        assert 1 == self.purge(states=states)
        assert {record.pk: state} == live()


class FreedTests(Contract):
    """What a record that is deleted has held."""

    def test_queue_key_is_free(self):
        make(queue_key="q")

        self.engine.purge(of("default"), WAIT)

        assert self.engine.holder_of(key_digest("", "q")) is None

    def test_hold_for_a_time_is_forgotten(self):
        class Ping(Job):
            name = "purging.Ping"
            unique_for = timedelta(hours=1)

            def perform(self): ...

            def queue_key(self):
                return "q"

        Ping.enqueue()
        assert KeyHold.objects.exists()

        self.engine.purge(of("default"), WAIT)

        assert not KeyHold.objects.exists()

    def test_who_waits_for_a_key_in_another_queue_has_its_turn(self):
        make(execution_key="k", queue="a")
        other = make(JobState.WAITING, execution_key="k")

        self.engine.purge(of("a"), WAIT)

        assert {other.pk: JobState.AVAILABLE} == live()

    def test_nobody_in_the_queue_has_a_turn_while_it_is_purged(self, monkeypatch):
        monkeypatch.setattr(purging, "PURGE_BATCH", 1)
        make(execution_key="k")
        for _ in range(2):
            make(JobState.WAITING, execution_key="k")

        with CaptureQueriesContext(connection) as captured:
            assert 3 == self.engine.purge(of("default"), WAIT)

        assert [] == [each["sql"] for each in captured if each["sql"].startswith("UPDATE")]

    def test_batch_knows_of_it(self):
        batch = Batch.objects.open()
        JobRecordFactory(batch_id=batch.pk)
        self.engine.note_added(batch.pk, 1)
        batch.close()

        self.engine.purge(of("default"), WAIT)

        assert 1 == batch.progress().deleted


@pytest.mark.django_db(transaction=True)
def test_transactions_are_short(monkeypatch):
    monkeypatch.setattr(purging, "PURGE_BATCH", 2)
    make_many(5, JobState.AVAILABLE)

    with CaptureQueriesContext(connection) as captured:
        assert 5 == engine_for("default").purge(of("default"), WAIT)

    assert 3 == [each["sql"] for each in captured].count("COMMIT")
