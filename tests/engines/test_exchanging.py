"""One cycle of a worker: ends go in, new work comes out, in one transaction."""

from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import connection, transaction

from django_jobflow import control
from django_jobflow.attempts import Demand, key_digest, reservation_of
from django_jobflow.models import JobRecord
from django_jobflow.outcomes import ErrorInfo, Failed, Succeeded
from django_jobflow.states import JobState
from tests.engines.contract import (
    HOUR,
    LATER,
    MINUTE,
    NOON,
    SECOND,
    Contract,
    ending,
    make,
    stored,
    succeeded,
)

WORKER = "host-1:4711"
NAME = "tests.jobs.Known"


def demand(**changes):
    """Return what a worker on all queues asks for that knows the job of the factory."""
    wanted = Demand(
        worker=WORKER,
        queues=None,
        limit=10,
        names=frozenset({NAME}),
        lease=MINUTE,
        timeout=10 * SECOND,
    )
    return replace(wanted, **changes)


def known(**facts):
    return make(**{"name": NAME} | facts)


class ExchangeTests(Contract):
    def exchange(self, endings=(), *demands, limit=10, now=LATER):
        return self.engine.exchange(endings, demands, limit, now)

    def test_nothing_to_do_writes_nothing(self):
        exchange = self.exchange((), demand())

        assert (set(), [], [], []) == (
            exchange.written,
            exchange.started,
            exchange.held,
            exchange.lost,
        )

    def test_what_is_taken_is_in_progress_with_its_attempt_counted(self):
        record = known(attempt=1, max_attempts=3)

        [taken] = self.exchange((), demand()).started

        row = stored(record)
        assert (record.pk, 2, WORKER) == (taken.id, taken.attempt, taken.worker)
        assert JobState.IN_PROGRESS == row.state
        assert (2, WORKER, LATER, LATER) == (
            row.attempt,
            row.reserved_by,
            row.started_at,
            row.reserved_at,
        )
        assert LATER + MINUTE == row.expires

    def test_what_is_taken_is_what_the_row_says(self):
        record = known(
            args=[1],
            kwargs={"n": "x"},
            queue="email",
            partition="p",
            priority=3,
            timeout=timedelta(seconds=1.5),
            queue_key="q",
            errors=[{"number": 1}],
            tags=["t"],
            meta={"m": 1},
            expires_at=LATER + MINUTE,
            attempt=1,
            max_attempts=4,
        )

        [taken] = self.exchange((), demand()).started

        assert reservation_of(stored(record)).__reduce_ex__(4)[2] == taken.__reduce_ex__(4)[2]

    def test_ends_and_new_work_in_one(self):
        done, failing, following = (
            known(state=JobState.IN_PROGRESS),
            known(state=JobState.IN_PROGRESS),
            known(),
        )
        ends = [
            ending(done, Succeeded({"sent": True})),
            ending(failing, Failed(ErrorInfo("ValueError", "no"))),
        ]

        exchange = self.exchange(ends, demand())

        assert {done.pk, failing.pk} == exchange.written
        assert [following.pk] == [each.id for each in exchange.started]
        assert {done.pk} == succeeded()
        assert JobState.RETRY == stored(failing).state

    def test_first_demand_comes_first_whatever_the_others_bring(self):
        first, second = known(queue="b", priority=-5), known(queue="a", priority=5)

        exchange = self.exchange((), demand(queues=("b",)), demand(queues=("a",)))

        assert [first.pk, second.pk] == [each.id for each in exchange.started]

    def test_a_lost_end_is_not_written_and_holds_up_nothing(self):
        lost, following = known(state=JobState.IN_PROGRESS), known()
        end = ending(lost, Succeeded())
        JobRecord.objects.filter(pk=lost.pk).update(attempt=1, reserved_by="another")

        exchange = self.exchange([end], demand())

        assert set() == exchange.written
        assert [following.pk] == [each.id for each in exchange.started]
        assert set() == succeeded()

    def test_ends_of_another_worker_have_a_fence_of_their_own(self):
        theirs = known(state=JobState.IN_PROGRESS, reserved_by="other")
        lost = known(state=JobState.IN_PROGRESS)
        stale = stored(lost)
        stale.reserved_by = "other"

        exchange = self.exchange(
            [ending(theirs, Succeeded()), ending(stale, Succeeded())], demand()
        )

        assert {theirs.pk} == exchange.written
        assert {theirs.pk} == succeeded()

    def test_an_unknown_job_is_only_promised(self):
        record = known(name="gone.Job", attempt=0)

        exchange = self.exchange((), demand())

        row = stored(record)
        assert ([], [record.pk]) == (exchange.started, [each.id for each in exchange.held])
        assert (JobState.RESERVED, 0, WORKER, None) == (
            row.state,
            row.attempt,
            row.reserved_by,
            row.started_at,
        )
        assert LATER + 10 * SECOND == row.expires

    @pytest.mark.parametrize(("after", "starts"), [(timedelta(0), False), (SECOND, True)])
    def test_a_pointless_job_is_only_promised(self, after, starts):
        record = known(expires_at=LATER + after)

        exchange = self.exchange((), demand())

        assert starts == bool(exchange.started)
        assert starts != bool(exchange.held)
        assert int(starts) == stored(record).attempt

    def test_the_first_come_first(self):
        low, high, early = known(), known(priority=5), known(available_at=NOON - HOUR)

        taken = self.exchange((), demand()).started

        assert [high.pk, early.pk, low.pk] == [each.id for each in taken]

    def test_no_more_than_the_limit_from_all_demands_together(self):
        for queue in ("a", "a", "a", "b", "b", "b"):
            known(queue=queue)

        exchange = self.exchange(
            (), demand(queues=("a",), limit=2), demand(queues=("b",)), limit=4
        )

        assert ["a", "a", "b", "b"] == [each.queue for each in exchange.started]

    def test_no_queue_takes_nothing(self):
        known()

        assert [] == self.exchange((), demand(queues=())).started

    def test_a_key_that_becomes_free_gives_the_next_its_turn(self):
        running = known(state=JobState.IN_PROGRESS, execution_key="k")
        waiting = known(state=JobState.WAITING, execution_key="k")

        exchange = self.exchange([ending(running, Succeeded())], demand())

        assert {running.pk} == exchange.written
        assert [waiting.pk] == [each.id for each in exchange.started]

    def keyed(self, state=JobState.WAITING, key="k", **facts):
        return known(state=state, execution_key=key, **facts)

    def held(self, record):
        row = stored(record)
        return row.state, row.held_execution_key

    def test_what_waits_for_a_key_comes_in_order_with_all_else(self):
        running = [self.keyed(JobState.IN_PROGRESS, key) for key in ("a", "b")]
        low, high = self.keyed(key="a", priority=-1), self.keyed(key="b", priority=5)
        first = known(priority=3)

        ends = [ending(record, Succeeded()) for record in running]
        exchange = self.exchange(ends, demand(), limit=2)

        assert [high.pk, first.pk] == [each.id for each in exchange.started]
        assert (JobState.IN_PROGRESS, key_digest("", "b")) == self.held(high)
        assert (JobState.AVAILABLE, key_digest("", "a")) == self.held(low)

    def test_many_keys_that_become_free_are_each_given_on_once(self):
        keys = [f"k{number}" for number in range(12)]
        running = [self.keyed(JobState.IN_PROGRESS, key) for key in keys]
        waiting = [[self.keyed(key=key) for _ in range(2)] for key in keys]
        plain = [known(priority=1) for _ in range(3)]

        ends = [ending(record, Succeeded(record.pk)) for record in running]
        exchange = self.exchange(ends, demand(limit=10), limit=10)

        firsts, seconds = zip(*waiting, strict=True)
        assert {record.pk for record in running} == exchange.written == succeeded()
        assert [record.pk for record in (*plain, *firsts[:7])] == [
            each.id for each in exchange.started
        ]
        assert [
            *((JobState.IN_PROGRESS, key_digest("", key)) for key in keys[:7]),
            *((JobState.AVAILABLE, key_digest("", key)) for key in keys[7:]),
        ] == [self.held(record) for record in firsts]
        assert [(JobState.WAITING, None)] * 12 == [self.held(record) for record in seconds]

    def test_what_waits_for_a_key_on_another_queue_is_left_for_others(self):
        running = self.keyed(JobState.IN_PROGRESS, queue="a")
        there = self.keyed(queue="b", priority=9)
        here = known(queue="a")

        exchange = self.exchange([ending(running, Succeeded())], demand(queues=("a",)))

        assert [here.pk] == [each.id for each in exchange.started]
        assert (JobState.AVAILABLE, key_digest("", "k")) == self.held(there)

    def test_what_waits_for_a_key_in_another_partition_has_no_turn(self):
        running = self.keyed(JobState.IN_PROGRESS)
        there = self.keyed(partition="p")

        assert [] == self.exchange([ending(running, Succeeded())], demand()).started
        assert (JobState.WAITING, None) == self.held(there)

    def test_what_waits_for_a_key_and_is_unknown_here_is_only_promised(self):
        running = self.keyed(JobState.IN_PROGRESS)
        unknown = self.keyed(name="gone.Job", attempt=0)

        exchange = self.exchange([ending(running, Succeeded())], demand())

        assert ([], [unknown.pk]) == (exchange.started, [each.id for each in exchange.held])
        assert (JobState.RESERVED, key_digest("", "k")) == self.held(unknown)
        assert 0 == stored(unknown).attempt

    def test_a_lost_end_gives_no_key_on(self):
        lost = self.keyed(JobState.IN_PROGRESS)
        waiting = self.keyed()
        end = ending(lost, Succeeded())
        JobRecord.objects.filter(pk=lost.pk).update(reserved_by="another")

        exchange = self.exchange([end], demand())

        assert (set(), []) == (exchange.written, exchange.started)
        assert (JobState.WAITING, None) == self.held(waiting)

    def test_key_of_a_second_place_is_given_on_by_how_many_may_run(self):
        other = self.keyed(JobState.IN_PROGRESS)
        running = self.keyed(JobState.IN_PROGRESS, held_execution_key=key_digest("", "k", 1))
        waiting = self.keyed()

        exchange = self.exchange([ending(running, Succeeded())], demand())

        assert ({running.pk}, []) == (exchange.written, exchange.started)
        assert (JobState.WAITING, None) == self.held(waiting)
        assert (JobState.IN_PROGRESS, key_digest("", "k")) == self.held(other)

    def test_key_of_a_second_place_keeps_no_other_from_being_taken(self):
        self.keyed(JobState.IN_PROGRESS)
        running = self.keyed(JobState.IN_PROGRESS, held_execution_key=key_digest("", "k", 1))
        ended = [running, self.keyed(JobState.IN_PROGRESS, "other")]
        self.keyed()
        waiting, plain = self.keyed(key="other"), known()

        exchange = self.exchange([ending(each, Succeeded()) for each in ended], demand())

        assert [waiting.pk, plain.pk] == [each.id for each in exchange.started]

    @pytest.mark.parametrize("limited", ["a", "A", "a ", "á"])
    def test_limit_of_a_key_is_that_of_no_other_that_looks_alike(
        self, limited, django_capture_on_commit_callbacks
    ):
        keys = ["A", "a", "a ", "á"]
        running = [self.keyed(JobState.IN_PROGRESS, key) for key in keys]
        self.keyed(JobState.IN_PROGRESS, limited, held_execution_key=key_digest("", limited, 1))
        waiting = {key: self.keyed(key=key) for key in keys}
        control.set_limit(key=limited, concurrency=1)

        with django_capture_on_commit_callbacks(execute=True):
            self.exchange([ending(record, Succeeded()) for record in running], demand())

        states = dict.fromkeys(keys, JobState.IN_PROGRESS) | {limited: JobState.WAITING}
        assert states == {key: stored(record).state for key, record in waiting.items()}

    def test_success_and_failure_give_their_keys_on_alike(self):
        running = [self.keyed(JobState.IN_PROGRESS, key) for key in ("a", "b", "c")]
        waiting = [self.keyed(key=key) for key in ("a", "b")]
        failed = Failed(ErrorInfo("E", "no"))
        outcomes = (Succeeded(), failed, failed)

        ends = [ending(*each) for each in zip(running, outcomes, strict=True)]
        exchange = self.exchange(ends, demand())

        assert {record.pk for record in running} == exchange.written
        assert [record.pk for record in waiting] == [each.id for each in exchange.started]

    def test_names_are_compared_letter_by_letter(self):
        names = ['a"b', "a\\b", "a,b", "{a}", "a b", "NULL", ""]
        for name in names[:-1]:
            known(name=name)
        known(name="A B")

        exchange = self.exchange((), demand(names=frozenset(names)))

        assert sorted(names[:-1]) == sorted(each.name for each in exchange.started)
        assert ["A B"] == [each.name for each in exchange.held]

    def test_inside_a_transaction_it_is_undone_with_it(self):
        record = known()

        with transaction.atomic():
            assert self.exchange((), demand()).started
            transaction.set_rollback(True)

        assert JobState.AVAILABLE == stored(record).state


@pytest.mark.skipif(connection.vendor != "postgresql", reason="Only PostgreSQL has the setting.")
@pytest.mark.django_db(transaction=True)
class TestDurability:
    """A start may be forgotten by a server that crashes, an end may not."""

    @pytest.fixture(autouse=True)
    def seen(self, monkeypatch):
        """Note how the commit of each statement of a cycle is made."""
        from django_jobflow.engines import engine_for

        self.engine = engine_for("default")
        self.statements = []

        def note(execute, sql, params, many, context):
            self.statements.append(sql)
            return execute(sql, params, many, context)

        with connection.execute_wrapper(note):
            yield

    def test_a_start_alone_does_not_wait_for_the_disk(self):
        known()

        assert self.engine.exchange((), [demand()], 10).started
        assert "synchronous_commit" in self.statements[-1]
        with connection.cursor() as cursor:
            cursor.execute("SHOW synchronous_commit")
            assert ("on",) == cursor.fetchone()

    def test_an_end_waits_for_the_disk(self):
        running = known(state=JobState.IN_PROGRESS)
        known()

        assert self.engine.exchange([ending(running, Succeeded())], [demand()], 10).started
        assert "synchronous_commit" not in self.statements[-1]

    def test_a_cycle_is_one_statement(self):
        self.engine.exchange((), [demand()], 10)  # sets the session up
        running = known(state=JobState.IN_PROGRESS)
        failing = known(state=JobState.IN_PROGRESS)
        known()
        self.statements.clear()

        ends = [ending(running, Succeeded()), ending(failing, Failed(ErrorInfo("E", "no")))]
        self.engine.exchange(ends, [demand()], 10)

        assert 1 == len(self.statements)

    @pytest.mark.parametrize(("waiting", "more"), [(True, 0), (False, 1)])
    def test_a_cycle_that_frees_keys_is_one_statement_and_a_look_for_who_came(self, waiting, more):
        self.engine.exchange((), [demand()], 10)  # sets the session up
        keys = ["a", "b"]
        running = [known(state=JobState.IN_PROGRESS, execution_key=key) for key in keys]
        for key in keys * waiting:
            known(state=JobState.WAITING, execution_key=key)
        self.statements.clear()

        ends = [ending(record, Succeeded()) for record in running]
        exchange = self.engine.exchange(ends, [demand()], 10)

        assert 2 * waiting == len(exchange.started)
        assert 1 + more == len(self.statements)

    def test_the_statement_of_a_cycle_is_prepared(self):
        for _ in range(2):
            self.engine.exchange((), [demand()], 10)

        with connection.cursor() as cursor:
            cursor.execute("SELECT statement LIKE 'WITH taken%' FROM pg_prepared_statements")
            assert [(True,)] == cursor.fetchall()

    def test_the_session_is_left_as_it_was(self):
        def settings():
            with connection.cursor() as cursor:
                cursor.execute("SELECT current_setting('enable_seqscan')")
                return cursor.fetchone()[0]

        self.engine.exchange((), [demand()], 10)
        assert "off" == settings()

        self.engine.end_session()
        assert "on" == settings()

    def test_behind_a_pooler_nothing_is_left_in_the_session(self, monkeypatch):
        monkeypatch.setitem(connection.settings_dict, "DISABLE_SERVER_SIDE_CURSORS", True)
        known()

        assert self.engine.exchange((), [demand()], 10).started

        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_prepared_statements")
            assert (0,) == cursor.fetchone()
