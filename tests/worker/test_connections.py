"""What a thread of a worker does between two bodies with the connections that they have left."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections, transaction
from django.db.backends.signals import connection_created

from django_jobflow.worker import connections as tidying
from django_jobflow.worker.connections import (
    check_connections,
    close_connections,
    tidy_connections,
)

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])


@pytest.fixture
def thread():
    """A thread of its own, as a slot is; its connections are closed in the end."""
    with ThreadPoolExecutor(1) as pool:
        yield lambda work: pool.submit(work).result()
        pool.submit(close_connections).result()


def is_open(alias):
    return connections[alias].connection is not None


def leave_open(alias):
    """Leave a transaction open, as a body may that calls Django's own parts."""
    connections[alias].ensure_connection()
    transaction.set_autocommit(False, using=alias)


def quickly():
    """Do what a slot does after each body."""
    tidy_connections(quickly=True)


def opened():
    return [is_open(alias) for alias in ("default", "other")]


class TidyingTests:
    def test_what_is_as_it_should_be_stays_open(self, thread):
        thread(lambda: connections["default"].ensure_connection())
        thread(quickly)

        assert [True, False] == thread(opened)

    def test_block_of_which_nothing_is_open_is_forgotten(self, thread):
        """Django would not connect again."""

        def lose_track():
            connections["default"].in_atomic_block = True
            connections["default"].closed_in_transaction = True

        thread(lose_track)
        thread(quickly)

        thread(lambda: connections["default"].ensure_connection())
        assert [True, False] == thread(opened)

    @pytest.mark.parametrize("alias", ["default", "other"])
    def test_open_transaction_ends_with_its_connection(self, thread, alias):
        thread(lambda: [connections[each].ensure_connection() for each in ("default", "other")])
        thread(lambda: leave_open(alias))
        thread(quickly)

        assert [alias != "default", alias != "other"] == thread(opened)

    def test_connection_in_its_place_is_seen_to_as_well(self, thread):
        for _ in range(3):
            thread(lambda: leave_open("other"))
            thread(quickly)

            assert [False, False] == thread(opened)

    def test_connection_that_nobody_has_told_of_is_seen_to_at_the_next_look(self, thread):
        thread(quickly)
        connection_created.disconnect(tidying.opened.forget)
        try:
            thread(lambda: leave_open("other"))
        finally:
            connection_created.connect(tidying.opened.forget)
        thread(quickly)
        assert [False, True] == thread(opened)

        thread(lambda: check_connections(thoroughly=False))
        thread(quickly)

        assert [False, False] == thread(opened)

    def test_copy_is_left_to_who_has_made_it(self, thread):
        copies = []

        def copy():
            connections["other"].ensure_connection()
            copies.append(connections["other"].copy())
            copies[0].set_autocommit(False)

        thread(copy)
        thread(quickly)

        assert [False, True] == thread(opened)
        assert copies[0].connection is not None
        thread(copies[0].close)

    @pytest.mark.parametrize("replaces", [False, True])
    def test_connection_that_the_body_has_dropped_is_closed_and_that_is_all(
        self, thread, replaces
    ):
        def drop():
            leave_open("other")
            connection = connections["other"]
            del connections["other"]
            if replaces:
                connections["other"].ensure_connection()
            return connection

        thread(lambda: connections["other"].ensure_connection())
        thread(quickly)
        connection = thread(drop)
        thread(quickly)

        assert [False, replaces] == thread(opened)
        assert (connection.connection is not None) is replaces
        thread(connection.close)

    def test_errors_have_it_asked_whether_it_works(self, thread):
        def fail():
            connections["other"].ensure_connection()
            connections["other"].errors_occurred = True

        thread(fail)
        thread(quickly)

        assert [False, True] == thread(opened)
        assert thread(lambda: connections["other"].errors_occurred) is False

    def test_texts_of_statements_are_not_kept(self, thread, settings):
        settings.DEBUG = True

        def ask():
            with connections["other"].cursor() as cursor:
                cursor.execute("SELECT 1")

        thread(ask)
        assert thread(lambda: len(connections["other"].queries_log)) > 0
        thread(quickly)

        assert 0 == thread(lambda: len(connections["other"].queries_log))
