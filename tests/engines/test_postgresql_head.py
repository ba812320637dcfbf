"""Where a fetch begins: after what was taken, and now and then from the beginning."""

from datetime import timedelta
from unittest.mock import Mock

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_jobflow.attempts import Demand
from django_jobflow.engines import engine_for
from django_jobflow.models import JobRecord
from tests.engines.contract import HOUR, MINUTE, NOON, SECOND, make, make_many

pytestmark = [
    pytest.mark.skipif(connection.vendor != "postgresql", reason="Of PostgreSQL."),
    pytest.mark.django_db,
]

NAME = "tests.jobs.Known"
ANY = "jobflow_job_fetch_any"
DAY = timedelta(days=1)


@pytest.fixture
def table(db):
    """The table without what tests before left in its indexes when they were rolled back."""
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE jobflow_job CASCADE")


@pytest.fixture
def engine(monkeypatch, table):
    """Return the engine of a worker whose passes from the beginning are rare."""
    monkeypatch.setattr("django_jobflow.engines.postgresql_rounds.SHARE", 10**9)
    engine = engine_for("default")
    yield engine
    engine.end_session()


@pytest.fixture
def take(engine):
    """Take so many, and return their ids in order."""

    def take(limit=1, queues=None):
        taken = engine.exchange((), [demand_of(limit, queues)], limit)
        return [each.id for each in taken.started]

    return take


def demand_of(limit, queues=None):
    return Demand(
        worker="w",
        queues=queues,
        limit=limit,
        names=frozenset({NAME}),
        lease=MINUTE,
        timeout=MINUTE,
    )


def known(**facts):
    return make(**{"name": NAME} | facts).pk


class PassedOverTests:
    """What stands before the head must not have to wait for the next poll."""

    @pytest.fixture
    def look(self, engine):
        def look(limit, queues=None):
            return engine.exchange((), [demand_of(limit, queues)], limit)

        return look

    def test_look_from_the_beginning_passes_nothing_over(self, look):
        known()

        assert look(2).passed_over is None

    def test_look_that_is_filled_is_followed_by_another_anyway(self, look):
        known(), known()
        look(1)

        assert look(1).passed_over is None

    def test_look_that_finds_too_little_says_when_to_look_again(self, look, engine):
        known()
        look(1)

        assert look(1).passed_over > 0
        engine._head._rounds.clear()
        assert look(1).passed_over is None

    def test_one_of_several_ranges_tells_it(self, look, engine):
        known(queue="a"), known(queue="b")
        look(1, ("a",)), look(1, ("b",))
        demands = [demand_of(1, queues) for queues in (("a",), ("c",))]

        assert engine.exchange((), demands, 1).passed_over > 0


class HeadTests:
    def test_the_next_fetch_goes_on_where_the_last_one_ended(self, take):
        first, second, third = known(), known(), known()

        assert [[first], [second], [third], []] == [take() for _ in range(4)]

    def test_what_came_before_is_found_by_a_pass_from_the_beginning(self, take, engine):
        known()
        take()
        early = known(available_at=NOON - DAY)
        late = known(available_at=NOON + SECOND)

        assert [late] == take()
        assert [] == take()

        engine._head._rounds.clear()
        assert [early] == take()

    def test_a_higher_priority_is_never_passed_over(self, take):
        known()
        take()
        urgent = known(priority=5, available_at=NOON - DAY)
        following = known(available_at=NOON + SECOND)

        assert [urgent, following] == take(2)

    def test_a_lower_priority_is_never_passed_over(self, take):
        known(priority=5)
        take()
        low = known(available_at=NOON - DAY)

        assert [low] == take()

    def test_each_priority_has_its_own_place(self, take):
        first = [known(priority=priority) for priority in (5, 3, 1)]
        assert first == take(3)
        for priority in (5, 3, 1):
            known(priority=priority, available_at=NOON - DAY)  # passed over
        following = [known(priority=each, available_at=NOON + SECOND) for each in (9, 5, 4, 3, 1)]

        assert following == take(8)

    def test_of_many_priorities_the_last_seen_are_remembered(self, take, engine):
        for priority in (1, 2, 3, 4):
            known(priority=priority)
            take()
        assert [4, 3, 2] == [place.priority for place in engine._head.ends(None)]

    def test_several_queues_are_looked_at_from_the_beginning(self, take):
        """What another has locked and not taken must not be passed over."""
        late, early = known(queue="a", available_at=NOON + MINUTE), known(queue="b")
        assert [early, late] == take(2, queues=("a", "b"))
        passed = known(queue="b", available_at=NOON - DAY)

        assert [passed] == take(queues=("a", "b"))

    def test_each_queue_has_its_own_place(self, take):
        late, early = known(queue="a", available_at=NOON + MINUTE), known(queue="b")

        assert [late] == take(queues=("a",))
        assert [early] == take(queues=("b",))

    def test_what_leaves_no_room_is_not_locked(self, take, engine):
        known(priority=5), known()
        take(2)
        urgent, other = known(priority=5, available_at=NOON + SECOND), known()
        query = "SELECT xmax::text FROM jobflow_job WHERE id = %s"

        assert [urgent] == take(1)
        with connection.cursor() as cursor:
            cursor.execute(query, [other])
            assert ("0",) == cursor.fetchone()

    def test_a_cheap_pass_from_the_beginning_is_made_each_time(self, take, monkeypatch):
        monkeypatch.setattr("django_jobflow.engines.postgresql_rounds.SHARE", 0)
        monkeypatch.setattr("django_jobflow.engines.postgresql_rounds.PAUSE", 0)
        known()
        take()
        early = known(available_at=NOON - DAY)

        assert [early] == take()

    def test_what_was_taken_is_not_read_again(self, take):
        make_many(1000, "AVAILABLE", name=NAME)
        take(990)

        assert 10 > entries_read(ANY, lambda: take())

    def test_a_pass_from_the_beginning_reads_it_all(self, take, engine):
        make_many(1000, "AVAILABLE", name=NAME)
        take(990)
        engine._head._rounds.clear()

        assert 990 < entries_read(ANY, lambda: take())

    def test_rounds_find_what_came_before(self, take, engine, monkeypatch):
        monkeypatch.setattr("django_jobflow.engines.postgresql_rounds.SHARE", 0)
        monkeypatch.setattr("django_jobflow.engines.postgresql_rounds.PAUSE", 0)
        engine._head._rounds[None].longest = 0.0
        make_many(3, "AVAILABLE", name=NAME)
        take(3)
        assert engine._head._rounds[None].is_slow
        engine._head._rounds[None].longest = 10**6  # the pieces are cheap, and grow
        ages = [timedelta(seconds=2), timedelta(minutes=3), timedelta(days=400)]
        passed = [known(available_at=NOON - age) for age in ages]

        found = [take(9) for _ in range(120)]

        assert [[pk] for pk in passed] == [ids for ids in found if ids]
        assert not engine._head.start(demand_of(1), 0.0).piece  # the rounds were cheap

    def test_rounds_take_all_of_a_late_backlog(self, take, engine, monkeypatch):
        monkeypatch.setattr("django_jobflow.engines.postgresql_rounds.SHARE", 0)
        monkeypatch.setattr("django_jobflow.engines.postgresql_rounds.PAUSE", 0)
        engine._head._rounds[None].longest = 0.0
        known()
        take()
        make_many(50, "AVAILABLE", name=NAME, available_at=NOON - DAY)
        engine._head._rounds[None].longest = 10**6

        found = [len(take(10)) for _ in range(120)]

        first = found.index(10)
        assert [10, 10, 10, 10, 10] == found[first : first + 5]

    def test_a_piece_reads_no_more_than_its_part(self, take, engine, monkeypatch):
        monkeypatch.setattr("django_jobflow.engines.postgresql_rounds.SHARE", 0)
        monkeypatch.setattr("django_jobflow.engines.postgresql_rounds.PAUSE", 0)
        engine._head._rounds[None].longest = 0.0
        for second in range(100):
            make_many(10, "AVAILABLE", name=NAME, available_at=NOON + second * SECOND)
        take(1000)
        take()  # between two pieces

        assert 10 == entries_read(ANY, lambda: take())


class GlanceTests:
    """What a glance asks, it asks of what may be there, and of the rest in rounds."""

    @pytest.fixture
    def slow(self, engine, monkeypatch):
        """The engine, once a glance at everything has taken too long."""
        monkeypatch.setattr(engine._glances._rounds, "longest", 0.0)
        engine.glance(None)
        return engine

    @pytest.fixture
    def rounds(self, slow, monkeypatch):
        """The same, of which each glance looks at a piece, and these grow."""
        monkeypatch.setattr("django_jobflow.engines.postgresql_rounds.SHARE", 0)
        monkeypatch.setattr("django_jobflow.engines.postgresql_rounds.PAUSE", 0)
        slow._glances._rounds._due_at = 0.0
        slow._glances._rounds.longest = 10**6
        return slow

    def test_what_was_taken_is_not_read_again(self, engine, take, slow):
        make_many(1000, "AVAILABLE", name=NAME)
        assert 1000 == len(take(1000))

        assert 10 > entries_read(ANY, lambda: engine.glance(None))

    def test_what_was_looked_at_is_not_read_again(self, engine, slow):
        make_many(1000, "IN_PROGRESS", expires=timezone.now() - HOUR)
        JobRecord.objects.all()._raw_delete("default")

        assert 10 > entries_read("jobflow_job_lease", lambda: engine.glance(None))

    def test_glance_of_a_worker_that_costs_little_reads_everything(self, engine, monkeypatch):
        monkeypatch.setattr(engine._glances._rounds, "longest", 10**6)
        engine.glance(None)
        make("IN_PROGRESS", expires=timezone.now() - HOUR)

        assert engine.glance(None).lapsed

    def test_work_behind_the_head_is_seen(self, take, slow):
        known()
        take()
        slow._head._rounds[None]._due_at = float("inf")
        assert not slow.glance(None).available

        known(available_at=NOON + SECOND)
        assert slow.glance(None).available

    def test_time_to_look_for_what_was_passed_counts_as_work(self, take, slow):
        known()
        take()
        slow._head._rounds.clear()

        assert slow.glance(None).available

    @pytest.mark.parametrize("partition", ["", "p"])
    def test_work_of_each_queue_and_partition_is_seen(self, take, slow, partition):
        known(queue="a")
        take(queues=("a",))
        slow._head._rounds["a",]._due_at = float("inf")
        assert not slow.glance(("a",)).available

        known(queue="a", partition=partition, available_at=NOON + SECOND)
        assert slow.glance(("a",)).available

    @pytest.mark.parametrize("queues", [None, ("a",), ("a", "b")])
    def test_work_on_a_queue_without_a_head_is_always_seen(self, slow, queues):
        known(queue="a")

        assert all(slow.glance(queues).available for _ in range(3))

    @pytest.mark.parametrize("age", [timedelta(seconds=2), timedelta(days=400)])
    def test_rounds_find_a_lease_that_has_lapsed_before(self, rounds, age):
        lapsed = make("IN_PROGRESS", expires=timezone.now() - age)
        rounds._glances._leases_until = timezone.now()

        shown = [rounds.glance(None).lapsed for _ in range(120)]

        assert any(shown)
        assert all(shown[shown.index(True) :])  # until it is seen to
        [rescued] = rounds.rescue(JobRecord.objects.all(), None)
        assert lapsed == rescued
        rounds.fail_lost(JobRecord.objects.all(), None)
        assert not rounds.glance(None).lapsed

    def test_sweep_spares_the_look_for_leases_that_has_just_been_made(self, slow):
        with CaptureQueriesContext(connection) as captured:
            slow.rescue(JobRecord.objects.all(), None)
            slow.fail_lost(JobRecord.objects.all(), None)

        assert not captured.captured_queries

    @pytest.mark.parametrize("state", ["SCHEDULED", "RETRY"])
    def test_rounds_find_what_was_due_before(self, rounds, state):
        make(state, available_at=timezone.now() - timedelta(days=3))

        due = [rounds.glance(None).next_due for _ in range(120)]

        assert any(seconds is not None and seconds < 0 for seconds in due)
        assert 1 == rounds.activate_scheduled(JobRecord.objects.all(), None)

    def test_all_that_was_due_before_is_activated(self, rounds):
        make_many(1500, "SCHEDULED", available_at=timezone.now() - timedelta(days=3))
        while not rounds._glances._shows_overdue:
            rounds.glance(None)

        assert 1500 == rounds.activate_scheduled(JobRecord.objects.all(), None)

    def test_what_could_not_be_activated_is_not_forgotten(self, rounds, monkeypatch):
        make("SCHEDULED", available_at=timezone.now() - timedelta(days=3))
        rounds.look_anew()
        with monkeypatch.context() as patch, pytest.raises(OperationalError):
            patch.setattr(rounds, "_activate_batch", Mock(side_effect=OperationalError))
            rounds.activate_scheduled(JobRecord.objects.all(), None)

        assert 1 == rounds.activate_scheduled(JobRecord.objects.all(), None)

    def test_activation_reads_no_more_than_what_may_be_due(self, slow):
        make_many(1000, "SCHEDULED", available_at=timezone.now() - HOUR)
        JobRecord.objects.all()._raw_delete("default")
        make("SCHEDULED", available_at=timezone.now() - SECOND)

        def activate():
            assert 1 == slow.activate_scheduled(JobRecord.objects.all(), None)

        assert 10 > entries_read("jobflow_job_due", activate)

    def test_before_a_drain_ends_all_that_is_due_is_activated(self, slow):
        make("SCHEDULED", available_at=timezone.now() - HOUR)
        assert 0 == slow.activate_scheduled(JobRecord.objects.all(), None)

        slow.look_anew()

        assert 1 == slow.activate_scheduled(JobRecord.objects.all(), None)

    def test_what_is_due_next_is_always_seen(self, slow):
        make("SCHEDULED", available_at=timezone.now() + HOUR)

        assert 3500 < slow.glance(None).next_due <= 3600

    def test_what_is_overdue_by_little_is_always_seen(self, slow):
        make("SCHEDULED", available_at=timezone.now() - SECOND)

        assert -60 < slow.glance(None).next_due < 0

    def test_rounds_find_what_became_pointless_before(self, rounds):
        make("AVAILABLE", expires_at=timezone.now() - HOUR)

        shown = [rounds.glance(None).sweeps for _ in range(120)]

        assert any(shown)
        assert all(shown[shown.index(True) :])

    def test_what_has_lapsed_is_seen_until_it_is_rescued(self, slow):
        make("IN_PROGRESS", expires=timezone.now())

        assert slow.glance(None).lapsed
        assert slow.glance(None).lapsed


def entries_read(index, action):
    """Return how many entries of *index* an *action* has read."""
    query = f"SELECT pg_stat_get_xact_tuples_returned('{index}'::regclass)"
    with connection.cursor() as cursor:
        cursor.execute(query)
        [before] = cursor.fetchone()
        action()
        cursor.execute(query)
        return cursor.fetchone()[0] - before
