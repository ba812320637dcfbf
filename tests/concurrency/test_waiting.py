"""A writer that finds the database busy waits for it, and does not fail."""

import threading

import pytest
from django.db import connection, transaction

from django_jobflow import Job
from django_jobflow.models import JobRecord
from django_jobflow.states import JobState
from tests.concurrency.meeting import PATIENCE, Concurrent, together
from tests.engines.contract import MINUTE, NOON, live, make


class BusyTests(Concurrent):
    @pytest.fixture(autouse=True)
    def job(self, own_jobs):
        class Receipt(Job):
            def perform(self):
                pass

        self.receipt = Receipt

    def test_caller_holds_a_transaction_open_and_the_others_wait_or_pass(self):
        written, comes = threading.Event(), threading.Event()

        def hold():
            with transaction.atomic():
                self.receipt.enqueue()
                written.set()
                assert comes.wait(PATIENCE)

        def come():
            assert written.wait(PATIENCE)
            comes.set()
            self.receipt.enqueue()
            return len(
                self.engine.reserve(limit=9, worker="w", queues=None, timeout=MINUTE, now=NOON)
            )

        _, reserved = together(hold, come)

        assert reserved in {1, 2}
        assert 2 == len(live())

    def test_caller_reads_first_and_writes_later(self):
        """Two such transactions that overlap fail on SQLite unless they begin IMMEDIATE."""

        def call():
            with transaction.atomic():
                JobRecord.objects.count()
                self.receipt.enqueue()

        together(*[call] * 6)

        assert 6 == JobRecord.objects.count()

    def test_verbs_of_the_engine_begin_with_the_lock_whatever_the_settings_say(self, monkeypatch):
        if not hasattr(connection, "transaction_mode"):
            pytest.skip("Transactions have one mode here.")
        monkeypatch.delitem(connection.settings_dict["OPTIONS"], "transaction_mode")
        for _ in range(30):
            make()

        shares = together(
            *(
                lambda n=n: self.engine.reserve(
                    limit=5, worker=f"w{n}", queues=None, timeout=MINUTE, now=NOON
                )
                for n in range(6)
            )
        )

        assert [5] * 6 == [len(share) for share in shares]
        assert {JobState.RESERVED} == set(live().values())

    def test_mode_of_the_connection_is_as_it_was(self):
        if not hasattr(connection, "transaction_mode"):
            pytest.skip("Transactions have one mode here.")
        connection.ensure_connection()
        before = connection.transaction_mode

        self.engine.reserve(limit=1, worker="w", queues=None, timeout=MINUTE)

        assert before == connection.transaction_mode
