"""Where a fetch begins: after what was taken, and now and then from the beginning."""

from datetime import timedelta

import pytest
from django.db import connection

from django_jobflow.attempts import Demand
from django_jobflow.engines import engine_for
from tests.engines.contract import MINUTE, NOON, SECOND, make, make_many

pytestmark = [
    pytest.mark.skipif(connection.vendor != "postgresql", reason="Of PostgreSQL."),
    pytest.mark.django_db,
]

NAME = "tests.jobs.Known"


@pytest.fixture
def engine(monkeypatch):
    """Return the engine of a worker whose passes from the beginning are rare."""
    monkeypatch.setattr("django_jobflow.engines.postgresql_head.FULL_SHARE", 10**9)
    engine = engine_for("default")
    yield engine
    engine.end_session()


@pytest.fixture
def take(engine):
    """Take so many, and return their ids in order."""

    def take(limit=1, queues=None):
        demand = Demand(
            worker="w",
            queues=queues,
            limit=limit,
            names=frozenset({NAME}),
            lease=MINUTE,
            timeout=MINUTE,
        )
        return [each.id for each in engine.exchange((), [demand], limit).started]

    return take


def known(**facts):
    return make(**{"name": NAME} | facts).pk


class PassedOverTests:
    """What stands before the head must not have to wait for the next poll."""

    @pytest.fixture
    def look(self, engine):
        def look(limit, queues=None):
            demand = Demand(
                worker="w",
                queues=queues,
                limit=limit,
                names=frozenset({NAME}),
                lease=MINUTE,
                timeout=MINUTE,
            )
            return engine.exchange((), [demand], limit)

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
        engine._head._full_at = dict.fromkeys(engine._head._full_at, 0.0)
        assert look(1).passed_over is None

    def test_one_of_several_ranges_tells_it(self, look, engine):
        known(queue="a"), known(queue="b")
        look(1, ("a",)), look(1, ("b",))
        options = {"worker": "w", "limit": 1, "names": frozenset({NAME})}
        demands = [
            Demand(queues=queues, lease=MINUTE, timeout=MINUTE, **options)
            for queues in (("a",), ("c",))
        ]

        assert engine.exchange((), demands, 1).passed_over > 0


class HeadTests:
    def test_the_next_fetch_goes_on_where_the_last_one_ended(self, take):
        first, second, third = known(), known(), known()

        assert [[first], [second], [third], []] == [take() for _ in range(4)]

    def test_what_came_before_is_found_by_a_pass_from_the_beginning(self, take, engine):
        known()
        take()
        early = known(available_at=NOON - timedelta(days=1))
        late = known(available_at=NOON + SECOND)

        assert [late] == take()
        assert [] == take()

        engine._head._full_at.clear()
        assert [early] == take()

    def test_a_higher_priority_is_never_passed_over(self, take):
        known()
        take()
        urgent = known(priority=5, available_at=NOON - timedelta(days=1))
        following = known(available_at=NOON + SECOND)

        assert [urgent, following] == take(2)

    def test_each_queue_has_its_own_place(self, take):
        late, early = known(queue="a", available_at=NOON + MINUTE), known(queue="b")

        assert [late] == take(queues=("a",))
        assert [early] == take(queues=("b",))

    def test_a_cheap_pass_from_the_beginning_is_made_each_time(self, take, monkeypatch):
        monkeypatch.setattr("django_jobflow.engines.postgresql_head.FULL_SHARE", 0)
        known()
        take()
        early = known(available_at=NOON - timedelta(days=1))

        assert [early] == take()

    def test_what_was_taken_is_not_read_again(self, take):
        make_many(1000, "AVAILABLE", name=NAME)
        take(990)

        assert 10 > self.entries_read(lambda: take())

    def test_a_pass_from_the_beginning_reads_it_all(self, take, engine):
        make_many(1000, "AVAILABLE", name=NAME)
        take(990)
        engine._head._full_at.clear()

        assert 990 < self.entries_read(lambda: take())

    def entries_read(self, action):
        """Return how many entries of the fetch index *action* has read."""
        query = "SELECT pg_stat_get_xact_tuples_returned('jobflow_job_fetch_any'::regclass)"
        with connection.cursor() as cursor:
            cursor.execute(query)
            [before] = cursor.fetchone()
            action()
            cursor.execute(query)
            return cursor.fetchone()[0] - before
