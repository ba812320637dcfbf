"""The sums of the past: nothing is counted twice, and nothing is lost, whoever folds."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import DataError, connection, connections
from django.test.utils import CaptureQueriesContext

from django_jobflow import maintain
from django_jobflow.engines import engine_for, remembering
from django_jobflow.history import AS_WRITTEN, EVERY_QUEUE, LEVELS
from django_jobflow.models import History
from django_jobflow.states import JobState
from tests.concurrency.meeting import together
from tests.engines.contract import Contract, make, make_many

MORNING = datetime(2026, 11, 21, 9, 59, 58, tzinfo=UTC)
DAY = timedelta(days=1)
SUMS = list(LEVELS)


def rows(length):
    """Return the rows of periods of one *length*: beginning, queue, samples, numbers."""
    found = History.objects.filter(length=length).order_by("start", "queue")
    return [(row.start.strftime("%H:%M"), row.queue, row.samples, row.numbers) for row in found]


class FoldingTests(Contract):
    def test_rows_of_workers_become_sums_of_periods(self):
        self.engine.write_history(MORNING, {"a": {"succeeded": 1, "run3": 1}, "b": {"failed": 2}})
        self.engine.write_history(MORNING, {"a": {"succeeded": 10}})
        self.engine.write_history(MORNING + timedelta(seconds=2), {"a": {"succeeded": 100}})

        assert 4 == self.engine.fold_history()

        assert [] == rows(AS_WRITTEN)
        assert [
            ("09:59", "", 0, {"succeeded": 11, "run3": 1, "failed": 2}),
            ("09:59", "a", 0, {"succeeded": 11, "run3": 1}),
            ("09:59", "b", 0, {"failed": 2}),
            ("10:00", "", 0, {"succeeded": 100}),
            ("10:00", "a", 0, {"succeeded": 100}),
        ] == rows(60)
        assert [("09:00", 13), ("10:00", 100)] == [
            (start, sum(numbers[key] for key in ("succeeded", "failed") if key in numbers))
            for start, queue, _, numbers in rows(3600)
            if queue == EVERY_QUEUE
        ]
        assert ("00:00", "", 0, {"succeeded": 111, "run3": 1, "failed": 2}) == rows(86400)[0]

    def test_later_rows_are_added_to_sums_that_are_there(self):
        for _ in range(3):
            self.engine.write_history(MORNING, {"a": {"succeeded": 1}})
            self.engine.fold_history()

        for length in SUMS:
            assert [3, 3] == [numbers["succeeded"] for *_, numbers in rows(length)]

    def test_several_rows_of_one_period_are_joined(self):
        """Two who fold at once may each have written one."""
        self.engine.write_history(MORNING, {"a": {"succeeded": 1}})
        self.engine.fold_history()
        History.objects.bulk_create(
            History(length=row.length, start=row.start, queue=row.queue, numbers=row.numbers)
            for row in History.objects.all()
        )

        self.engine.write_history(MORNING, {"a": {"succeeded": 1}})
        self.engine.fold_history()

        assert [3, 3] == [numbers["succeeded"] for *_, numbers in rows(60)]

    def test_many_rows_are_folded_in_parts(self, monkeypatch):
        monkeypatch.setattr(remembering, "FOLD_BATCH", 2)
        for _ in range(5):
            self.engine.write_history(MORNING, {"a": {"succeeded": 1}})

        assert 5 == self.engine.fold_history()

        assert [5, 5] == [numbers["succeeded"] for *_, numbers in rows(60)]

    def test_nothing_to_fold_is_one_statement(self, django_assert_num_queries):
        with django_assert_num_queries(1):
            assert 0 == self.engine.fold_history()

    def test_any_number_of_rows_is_five_statements(self):
        self.engine.write_history(MORNING, {"a": {"succeeded": 1}, "b": {"succeeded": 1}})
        self.engine.fold_history()
        self.engine.write_history(MORNING, {"a": {"succeeded": 1}, "b": {"succeeded": 1}})

        with CaptureQueriesContext(connection) as captured:
            self.engine.fold_history()

        verbs = [(query["sql"] or "(bound)").split()[0] for query in captured.captured_queries]
        assert 5 == len([verb for verb in verbs if verb not in {"SAVEPOINT", "RELEASE"}])


class PruningTests(Contract):
    def test_short_periods_go_before_long_ones(self):
        self.engine.write_history(MORNING, {"a": {"succeeded": 1}})
        self.engine.fold_history()

        left = []
        for days in (1, 3, 8, 31, 731):
            self.engine.prune_history(730 * DAY, MORNING + days * DAY)
            left.append(sorted(set(History.objects.values_list("length", flat=True))))

        assert [[*SUMS], SUMS[1:], SUMS[2:], SUMS[3:], []] == left

    def test_days_can_be_kept_for_ever(self):
        self.engine.write_history(MORNING, {"a": {"succeeded": 1}})
        self.engine.fold_history()

        self.engine.prune_history(None, MORNING + 7000 * DAY)

        assert [86400, 86400] == [*History.objects.values_list("length", flat=True)]

    def test_it_is_one_statement(self, django_assert_num_queries):
        with django_assert_num_queries(1):
            self.engine.prune_history(DAY, MORNING)


@pytest.mark.skipif(connection.vendor != "postgresql", reason="Others have no dead entries.")
class PatienceTests:
    """A worker does not wait for a count that walks along all that an old snapshot keeps."""

    @pytest.fixture
    def engine(self, transactional_db, monkeypatch):
        """One of which each look at the backlog takes for ever."""
        engine = engine_for("default")
        monkeypatch.setattr("django_jobflow.engines.postgresql.SAMPLING", 10)
        monkeypatch.setattr(
            engine, "waiting_queues", lambda _: engine._returned("SELECT pg_sleep(600)", [])
        )
        return engine

    def test_look_that_takes_long_is_given_up(self, engine, django_assert_num_queries):
        assert not engine.sample_backlog(MORNING)

        with django_assert_num_queries(0):
            assert not engine.sample_backlog(MORNING)
        assert not History.objects.exists()

    def test_other_errors_are_not_hidden(self, engine, monkeypatch):
        # In the ten milliseconds of the others, a loaded server may not come to its error.
        monkeypatch.setattr("django_jobflow.engines.postgresql.SAMPLING", 60_000)
        monkeypatch.setattr(
            engine, "waiting_queues", lambda _: engine._returned("SELECT 1 / 0", [])
        )

        with pytest.raises(DataError):
            engine.sample_backlog(MORNING)

    @pytest.mark.parametrize(
        ("of_the_project", "expected"), [("30s", "30s"), ("2min", "1min"), ("0", "1min")]
    )
    def test_shorter_patience_of_the_project_is_kept(
        self, engine, monkeypatch, of_the_project, expected
    ):
        seen = []

        def look(_):
            seen.extend(engine._returned("SHOW statement_timeout", []))
            return []

        monkeypatch.setattr("django_jobflow.engines.postgresql.SAMPLING", 60_000)
        monkeypatch.setattr(engine, "waiting_queues", look)
        with connection.cursor() as cursor:
            cursor.execute(f"SET statement_timeout = '{of_the_project}'")
            assert engine.sample_backlog(MORNING)
            cursor.execute("SHOW statement_timeout")
            assert (of_the_project,) == cursor.fetchone()
            cursor.execute("RESET statement_timeout")

        assert [(expected,)] == seen


class SamplingTests(Contract):
    def test_what_waits_and_what_is_held_is_counted(self):
        make_many(3, JobState.AVAILABLE, queue="a")
        make(queue="b")
        make(JobState.IN_PROGRESS, queue="b")
        make(JobState.RESERVED, queue="c")
        make(JobState.SCHEDULED, queue="d")

        assert self.engine.sample_backlog(MORNING)

        assert [
            ("09:59", "", 1, {}),
            ("09:59", "a", 1, {"waiting": 3}),
            ("09:59", "b", 1, {"waiting": 1, "held": 1}),
            ("09:59", "c", 1, {"held": 1}),
        ] == rows(AS_WRITTEN)

    def test_it_is_written_once_a_minute(self, django_assert_num_queries):
        assert self.engine.sample_backlog(MORNING)
        with django_assert_num_queries(1):
            assert not self.engine.sample_backlog(MORNING)
        self.engine.fold_history()

        assert not self.engine.sample_backlog(MORNING)
        assert self.engine.sample_backlog(MORNING + timedelta(minutes=1))

    def test_sum_of_all_queues_knows_how_many_samples_there_were(self):
        for minute in range(3):
            make(queue="a")
            make(queue="b")
            self.engine.sample_backlog(MORNING + timedelta(minutes=minute))
        self.engine.fold_history()

        [*_, (_, queue, samples, numbers)] = [row for row in rows(86400) if row[1] == EVERY_QUEUE]
        assert (EVERY_QUEUE, 3, {"waiting": 2 + 4 + 6}) == (queue, samples, numbers)

    def test_of_very_many_not_all_are_counted(self, monkeypatch):
        monkeypatch.setattr(remembering, "SAMPLED_ROWS", 3)
        make_many(2, JobState.AVAILABLE, queue="a")
        make_many(2, JobState.AVAILABLE, queue="b")
        make_many(2, JobState.AVAILABLE, queue="c")

        self.engine.sample_backlog(MORNING)

        assert [
            {"cut": 1},
            {"waiting": 2},
            {"waiting": 1, "cut": 1},
            {"waiting": 0, "cut": 1},
        ] == [numbers for *_, numbers in rows(AS_WRITTEN)]


@pytest.mark.django_db(transaction=True)
def test_who_fold_at_once_count_nothing_twice_and_lose_nothing():
    engine = engine_for("default")
    for minute in range(60):
        engine.write_history(MORNING + timedelta(minutes=minute), {"a": {"succeeded": 1}})

    def fold():
        try:
            for minute in range(60):
                engine.write_history(MORNING + timedelta(minutes=minute), {"a": {"succeeded": 1}})
                maintain.remember(engine)
        finally:
            connections.close_all()

    together(fold, fold, fold)
    engine.fold_history()

    for length in SUMS:
        found = [numbers["succeeded"] for _, queue, _, numbers in rows(length) if queue == "a"]
        assert 240 == sum(found)
