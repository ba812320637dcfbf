"""What is done after a commit, by hooks whose errors nobody hears of."""

import pytest
from django.db import OperationalError, connection, transaction

from tests.engines.contract import ServedByEngines


@pytest.mark.django_db(transaction=True)
class AfterCommitTests(ServedByEngines):
    @pytest.fixture
    def half_open(self):
        """Leave half a connection, as where the server dies while Django connects."""

        def fail():
            connection.autocommit = False
            raise OperationalError("the server is gone")

        return fail

    def test_half_a_connection_is_closed(self, half_open, caplog):
        with transaction.atomic():
            self.engine.after_commit(half_open)

        with transaction.atomic():
            assert not connection.savepoint_ids
        assert connection.get_autocommit()
        assert "the server is gone" in caplog.text

    def test_sound_connection_stays_whatever_it_was_that_failed(self, monkeypatch):
        def fail():
            raise OperationalError("a deadlock")

        connection.ensure_connection()
        monkeypatch.setattr(connection, "close_at", 0.0)  # as by CONN_MAX_AGE = 0
        session = connection.connection
        with transaction.atomic():
            self.engine.after_commit(fail)

        assert session is connection.connection

    def test_transaction_of_a_test_that_runs_its_hooks_stays_open(self, half_open):
        with transaction.atomic():
            self.engine.after_commit(half_open)
            [(_, hook, _)] = connection.run_on_commit
            with pytest.raises(OperationalError):
                hook()
            assert not connection.closed_in_transaction
            connection.run_on_commit.clear()

    def test_it_is_done_once_the_transaction_is_committed(self):
        done = []
        with transaction.atomic():
            self.engine.after_commit(lambda: done.append(connection.in_atomic_block))
            assert not done

        assert [False] == done
