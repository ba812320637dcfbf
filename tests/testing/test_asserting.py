import logging
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from unittest import mock

import pytest
from django.test import TestCase

from django_jobflow import ArgumentError, InvalidJob, UnknownJob, job
from django_jobflow.declare import registry
from django_jobflow.models import JobRecord
from django_jobflow.testing import (
    aassert_enqueued,
    aenqueued,
    arefute_enqueued,
    assert_enqueued,
    drain,
    enqueued,
    refute_enqueued,
)
from tests.app.jobs import Anything, Charge, Keyed, add, describe_order, note
from tests.app.models import Order
from tests.factories import FailedJobFactory

NOON = datetime(2031, 5, 6, 12, tzinfo=UTC)


class EnqueuedTests(TestCase):
    def test_every_record_that_waits_is_found_in_order(self):
        first, second = add.enqueue(1), note.using(delay=60).enqueue("/dev/null", "text")

        assert [first, second] == enqueued()

    def test_ended_ones_are_found_on_request(self):
        FailedJobFactory()
        done = add.enqueue(1)
        drain()
        waiting = add.enqueue(2)

        assert [waiting.pk] == [each.pk for each in enqueued(add)]
        assert [done.pk, waiting.pk] == [each.pk for each in enqueued(add, ended=True)]

    def test_job_is_a_class_a_function_or_a_name(self):
        function, record = add.enqueue(1), Keyed.enqueue("a")

        assert [function] == enqueued(add) == enqueued("tests.app.jobs.add")
        assert [record] == enqueued(Keyed) == enqueued(Keyed.using(priority=3))

    def test_former_name_counts(self):
        with registry.isolated():

            @job(name="shop.add", aliases=["former.add"])
            def renamed(): ...

            record = renamed.enqueue()
            JobRecord.objects.update(name="former.add")

            assert [record] == enqueued(renamed) == enqueued("former.add")

    def test_arguments_match_however_they_were_given(self):
        add.enqueue(1, 2)
        add.enqueue(a=1, b=2)
        add.enqueue(1)

        assert [3, 2, 1] == [
            len(enqueued(add, arguments)) for arguments in ({"a": 1}, {"a": 1, "b": 2}, {"b": 1})
        ]

    def test_arguments_match_by_their_values(self):
        order = Order.objects.create(number="1", email="a@example.com", total=1)
        describe_order.enqueue(order)
        Anything.enqueue(NOON, 1, price=Decimal("1.50"), tags={"b", "a"})

        assert 1 == len(enqueued(describe_order, {"order": order}))
        found = {"args": [NOON, 1], "price": Decimal("1.50"), "tags": {"a", "b"}}
        assert 1 == len(enqueued(Anything, found))
        assert 1 == len(enqueued(Anything, {"price": mock.ANY}))
        assert 0 == len(enqueued(Anything, {"price": 2}))
        assert 0 == len(enqueued(Anything, {"other": mock.ANY}))

    def test_options_match(self):
        record = Keyed.using(
            queue="mail",
            priority=3,
            partition="eu",
            run_at=NOON,
            tags=["a", "b"],
            meta={"by": "ada", "of": 1},
        ).enqueue("k")
        add.enqueue(1)

        for options in (
            {"queue": "mail"},
            {"priority": 3},
            {"partition": "eu"},
            {"queue_key": "queue:k"},
            {"execution_key": "group:one"},
            {"run_at": NOON},
            {"run_at": (NOON, NOON + timedelta(hours=1))},
            {"tags": ["b"]},
            {"meta": {"by": "ada"}},
        ):
            assert [record] == enqueued(**options), options

    def test_delay_matches_what_using_was_given(self):
        record = add.using(delay=90).enqueue(1)
        add.enqueue(2)

        assert [record] == enqueued(add, delay=90) == enqueued(delay=timedelta(seconds=90))

    def test_unknown_name_is_an_error_even_if_nothing_is_to_be_there(self):
        with pytest.raises(UnknownJob, match=r"Did you mean 'tests\.app\.jobs\.add'"):
            refute_enqueued("tests.app.jobs.ad")

    def test_unknown_parameter_is_an_error_even_if_nothing_is_to_be_there(self):
        with pytest.raises(ArgumentError) as caught:
            refute_enqueued(describe_order, {"ordre": 1})

        assert (
            "tests.app.jobs.describe_order: expected names of parameters of perform(order), "
            "got 'ordre'. Did you mean 'order'?"
        ) == str(caught.value)

    def test_unknown_option_is_an_error(self):
        with pytest.raises(TypeError) as caught:
            assert_enqueued(add, que="mail")

        assert (
            "Expected options out of ['delay', 'execution_key', 'meta', 'partition', 'priority', "
            "'queue', 'queue_key', 'run_at', 'tags'], got ['que']."
        ) == str(caught.value)

    def test_arguments_without_a_job_are_an_error(self):
        with pytest.raises(InvalidJob):
            enqueued(None, {"a": 1})

    def test_something_else_than_a_job_is_an_error(self):
        with pytest.raises(InvalidJob) as caught:
            enqueued(logging)

        assert f"Expected a job, a task or the name of one, got {logging!r}." == str(caught.value)

    def test_costs_two_statements(self):
        add.enqueue(1)

        with self.assertNumQueries(2):
            assert_enqueued(add, {"a": 1})


class AssertTests(TestCase):
    def test_first_record_is_returned(self):
        record = add.enqueue(1)
        add.enqueue(2)

        assert record == assert_enqueued(add)
        assert record == assert_enqueued(add, {"a": 1}, count=1)
        assert assert_enqueued(note, count=0) is None
        refute_enqueued(note)

    def test_nothing_is_enqueued(self):
        with pytest.raises(AssertionError) as caught:
            assert_enqueued(add, {"a": 1}, queue="mail")

        assert (
            "Expected a job tests.app.jobs.add with a=1 on queue 'mail' to be enqueued, got none: "
            "nothing is enqueued."
        ) == str(caught.value)

    def test_others_are_enqueued(self):
        one = Keyed.using(partition="eu", priority=2, tags=["x"]).enqueue("a")
        two = add.using(run_at=NOON).enqueue(1, b=2)
        add.enqueue(1)
        drain()
        three = Charge.enqueue(7, card="4711")

        with pytest.raises(AssertionError) as caught:
            assert_enqueued(Charge, {"card": "1234"}, delay=60, priority=0, tags=["x"])

        assert (
            "Expected a job tests.app.jobs.Charge with card=•••••• of priority 0, tags ['x'] due "
            "after 0:01:00 to be enqueued, got none of 2:\n"
            f"  {two.pk} tests.app.jobs.add(1, b=2) on 'default', SCHEDULED, due at {NOON}\n"
            f"  {three.pk} tests.app.jobs.Charge(7, card=••••••) on 'default', AVAILABLE\n"
            "Jobs that have ended: 2. ended=True looks there, too."
        ) == str(caught.value)
        assert one.pk < two.pk

    def test_count_is_another(self):
        one = Keyed.using(partition="eu", priority=2, tags=["x"]).enqueue("a")
        two = add.enqueue(1)

        with pytest.raises(AssertionError) as caught:
            assert_enqueued(Keyed, run_at=(NOON, NOON), count=2)
        with pytest.raises(AssertionError) as other:
            assert_enqueued(Keyed, meta={}, count=2)

        lines = (
            f"{one.pk} tests.app.jobs.Keyed(\"a\") on 'default', WAITING, partition 'eu', "
            "priority 2, queue_key 'queue:a', execution_key 'group:one', tags ['x']\n"
            f"  {two.pk} tests.app.jobs.add(1) on 'default', AVAILABLE"
        )
        assert (
            f"Expected 2 jobs tests.app.jobs.Keyed due from {NOON} to {NOON} to be enqueued, got "
            f"none of 2:\n  {lines}"
        ) == str(caught.value)
        assert (
            f"Expected 2 jobs tests.app.jobs.Keyed to be enqueued, got 1 of 2:\n* {lines}"
        ) == str(other.value)

    def test_nothing_was_to_be_enqueued(self):
        record = add.enqueue(1)

        with pytest.raises(AssertionError) as caught:
            refute_enqueued()

        assert (
            "Expected no job to be enqueued, got 1 of 1:\n"
            f"* {record.pk} tests.app.jobs.add(1) on 'default', AVAILABLE"
        ) == str(caught.value)

    def test_long_list_is_cut(self):
        add.enqueue_many([{"a": number} for number in range(23)])

        with pytest.raises(AssertionError, match=r"\n  and 3 more$"):
            assert_enqueued(note)

    async def test_async_test_asserts(self):
        record = await add.aenqueue(1)

        assert [record] == await aenqueued(add)
        assert record == await aassert_enqueued(add)
        await arefute_enqueued(note)
