import pytest
from django.db import connection

from django_jobflow import Job, NotEditable
from django_jobflow.engines import Engine
from django_jobflow.models import JobRecord
from django_jobflow.states import JobState
from tests.concurrency.meeting import Concurrent, together
from tests.engines.contract import HOUR, LATER, MINUTE, live, make, stored


class EditTests(Concurrent):
    def reserve(self):
        return self.engine.reserve(limit=1, worker="w", queues=None, timeout=MINUTE, now=LATER)

    @pytest.mark.parametrize("key", [None, "e"])
    def test_put_off_or_reserved(self, key):
        for _ in range(10):
            record = make(execution_key=key)
            twin = stored(record)

            refused, reserved = together(
                lambda twin=twin: twin.reschedule(delay=HOUR), self.reserve, but=NotEditable
            )

            assert bool(refused) is bool(reserved)
            assert ("RESERVED" if reserved else "SCHEDULED") == stored(record).state
            JobRecord.objects.all().delete()

    @pytest.mark.parametrize("change", [{"queue": "night"}, {"execution_key": "f"}])
    def test_worker_has_what_was_changed_or_the_change_is_refused(self, change):
        for _ in range(10):
            record = make(execution_key="e")
            twin = stored(record)

            refused, reserved = together(
                lambda twin=twin: twin.update(**change), self.reserve, but=NotEditable
            )

            now = stored(record)
            [(column, value)] = change.items()
            assert (getattr(record, column) if refused else value) == getattr(now, column)
            for reservation in reserved:
                assert getattr(now, column) == getattr(reservation, column)
            if refused:
                assert reserved
            JobRecord.objects.all().delete()

    def test_one_of_two_has_the_new_queue_key(self):
        for number in range(10):
            records = [make(queue_key=f"{number}:{each}") for each in range(4)]
            twins = [stored(record) for record in records]

            found = together(
                *(lambda twin=twin, n=number: twin.update(queue_key=f"k{n}") for twin in twins),
                but=NotEditable,
            )

            assert 3 == sum(isinstance(each, NotEditable) for each in found)
            holder = JobRecord.objects.get(queue_key=f"k{number}")
            assert found[[record.pk for record in records].index(holder.pk)] is None

    def test_update_and_enqueue_meet_at_a_queue_key(self):
        class Mail(Job):
            def perform(self):
                pass

        for number in range(10):
            record, key = make(), f"k{number}"
            twin = stored(record)

            refused, enqueued = together(
                lambda twin=twin, key=key: twin.update(queue_key=key),
                Mail.using(queue_key=key).enqueue,
                but=NotEditable,
            )

            assert 1 == JobRecord.objects.filter(queue_key=key).count()
            assert enqueued.duplicate is (refused is None)

    def test_nobody_waits_for_a_key_that_nobody_holds(self):
        if connection.vendor != "sqlite" and type(self.engine).is_undone is Engine.is_undone:
            pytest.skip("It does not repeat what a deadlock has undone.")
        for _ in range(10):
            holders = [make(execution_key=key) for key in "ef"]
            waiting = [make(JobState.WAITING, execution_key=key) for key in "efef"]
            first, second, third, *_ = [stored(record) for record in (*holders, *waiting)]

            together(
                lambda one=first: one.update(execution_key="f"),
                lambda one=second: one.update(execution_key="e"),
                lambda one=third: one.update(execution_key="f"),
                lambda: self.engine.reschedule(self.engine.records, delay=HOUR),
            )

            self.engine.promote_waiting()  # as a sweep does: who had locked a row was passed over
            states = live()
            assert {"SCHEDULED", "AVAILABLE", "WAITING"} >= set(states.values())
            waits = JobRecord.objects.filter(state="WAITING")
            held = JobRecord.objects.filter(state="AVAILABLE")
            assert set(waits.values_list("execution_key", flat=True)) <= set(
                held.values_list("execution_key", flat=True)
            )
            JobRecord.objects.all().delete()
