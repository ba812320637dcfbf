"""What the hooks of a job are told, where, and that they cost nothing."""

import asyncio
import logging
import threading
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from django_jobflow import Cancel, Discard, Job, JobState, Snooze, current_context, operate
from django_jobflow.declare import registry
from django_jobflow.engines import engine_for
from django_jobflow.hooks import Due
from django_jobflow.maintain import Remains, rescue, rescue_worker
from django_jobflow.models import JobRecord, SucceededJob
from django_jobflow.outcomes import Failed, Snoozed, Succeeded
from django_jobflow.worker.aftermath import Aftermath
from tests.app.models import Order
from tests.factories import WORKER, JobRecordFactory

TOLD = []
"""What the hooks have told, in order."""
ENDS = {
    "error": ValueError("no"),
    "discard": Discard("of no use"),
    "cancel": Cancel("not needed"),
    "snooze": Snooze(60),
}


def order(number):
    return Order.objects.create(number=number, email="a@example.com", total=1)


def orders():
    return sorted(Order.objects.values_list("number", flat=True))


@pytest.fixture(autouse=True)
def forget():
    with registry.isolated():
        yield
    TOLD.clear()


class Telling:
    """Hooks that tell what they are called with."""

    def before_run(self):
        TOLD.append(("before_run", self.arguments))

    def after_run(self, outcome):
        TOLD.append(("after_run", type(outcome)))

    def on_success(self, result):
        TOLD.append(("on_success", result))

    def on_failure(self, error, will_retry):
        TOLD.append(("on_failure", error.exception, error.message, will_retry))

    def on_cancel(self, reason):
        TOLD.append(("on_cancel", reason))

    def on_discard(self, reason):
        TOLD.append(("on_discard", reason))


def declare_telling(**options):
    class Tell(Telling, Job):
        locals().update(options)

        def perform(self, how, number=1):
            if how in ENDS:
                raise ENDS[how]

    return Tell


@pytest.fixture(params=["plain", "async", "transactional", "grouped"])
def telling(request):
    """A job of each kind that tells all."""
    if request.param != "async":
        transactional = {"transactional": True, "grouped": "grouped"}.get(request.param, False)
        return declare_telling(transactional=transactional)

    class Tell(Telling, Job):
        async def perform(self, how, number=1):
            await asyncio.sleep(0)
            if how in ENDS:
                raise ENDS[how]

    return Tell


class AroundTests:
    def test_success_is_between_two_hooks(self, drain, telling):
        telling.enqueue("return")

        drain()

        assert [
            ("before_run", {"how": "return", "number": 1}),
            ("after_run", Succeeded),
            ("on_success", None),
        ] == TOLD

    @pytest.mark.parametrize(
        ("how", "outcome"), [("error", Failed), ("snooze", Snoozed)], ids=["failed", "snoozed"]
    )
    def test_other_ends_are_told_too(self, drain, telling, how, outcome):
        telling.enqueue(how)

        drain()

        assert ("after_run", outcome) == TOLD[1]

    def test_one_instance_sees_all_of_an_attempt(self, drain):
        class Count(Job):
            def before_run(self):
                self.seen = [self.context.job_id]

            def perform(self):
                self.seen.append(current_context().job_id)

            def after_run(self, outcome):
                TOLD.append((*self.seen, self.context.job_id))

        record = Count.enqueue()

        drain()

        assert [(record.pk,) * 3] == TOLD

    def test_all_is_in_the_same_slot(self, drain):
        class Place(Job):
            def before_run(self):
                TOLD.append(threading.current_thread().name)

            def perform(self):
                TOLD.append(threading.current_thread().name)

            def after_run(self, outcome):
                TOLD.append(threading.current_thread().name)

        Place.enqueue()

        drain(threads=1)

        assert ["jobflow-slot-1"] * 3 == TOLD

    @pytest.mark.parametrize("transactional", [True, "grouped"])
    def test_before_run_is_inside_the_transaction_and_after_run_behind_it(
        self, drain, transactional
    ):
        class Write(Job):
            locals().update(transactional=transactional)

            def before_run(self):
                order("before")

            def perform(self, fails):
                order("body")
                if fails:
                    raise ValueError

            def after_run(self, outcome):
                TOLD.append((connection.in_atomic_block, orders()))
                order(f"after {self.arguments['fails']}")

        Write.enqueue(fails=True)
        drain()
        Write.enqueue(fails=False)
        drain()

        assert [(False, []), (False, ["after True", "before", "body"])] == TOLD
        assert ["after False", "after True", "before", "body"] == orders()


class IsolationTests:
    def hook_events(self, caplog):
        return [each for each in caplog.records if getattr(each, "event", "") == "hook_failed"]

    @pytest.mark.parametrize("transactional", [False, True, "grouped"])
    @pytest.mark.parametrize("raised", [ValueError("no"), SystemExit(3), Cancel("no")])
    def test_hooks_that_raise_change_nothing(self, drain, transactional, raised, caplog):
        class Broken(Job):
            locals().update(transactional=transactional)

            def before_run(self):
                order("before")
                raise raised

            def perform(self):
                order("body")
                return 7

            def after_run(self, outcome):
                raise raised

        record = Broken.enqueue()

        drain()

        assert 7 == SucceededJob.objects.get(pk=record.pk).result
        assert (["body"] if transactional else ["before", "body"]) == orders()
        said = self.hook_events(caplog)
        assert ["before_run", "after_run"] == [each.job_hook for each in said]
        assert {record.pk} == {each.job_id for each in said}
        assert {logging.ERROR} == {each.levelno for each in said}

    def test_async_hooks_that_raise_change_nothing(self, drain, caplog):
        class Broken(Job):
            async def before_run(self):
                raise ValueError("no")

            async def perform(self):
                return 7

            def after_run(self, outcome):
                raise ValueError("no")

        Broken.enqueue()

        drain()

        assert 7 == SucceededJob.objects.get().result
        assert ["before_run", "after_run"] == [each.job_hook for each in self.hook_events(caplog)]

    def test_database_error_in_before_run_leaves_the_transaction_usable(self, drain):
        class Broken(Job):
            transactional = True

            def before_run(self):
                with connection.cursor() as cursor:
                    cursor.execute("SELECT nothing FROM nowhere")

            def perform(self):
                order("body")

        Broken.enqueue()

        drain()

        assert ["body"] == orders()

    def test_ends_whose_hook_raises_stay_as_they_are(self, drain, caplog):
        class Broken(Job):
            def perform(self):
                raise ValueError("first")

            def on_failure(self, error, will_retry):
                raise ValueError("second")

        record = Broken.enqueue()

        drain()

        record.refresh_from_db()
        assert (JobState.FAILED, "first") == (record.state, record.errors[0]["message"])
        assert ["on_failure"] == [each.job_hook for each in self.hook_events(caplog)]

    def test_what_is_hidden_is_not_logged(self, drain, caplog):
        class Charge(Job):
            sensitive = True

            def perform(self, card):
                return None

            def after_run(self, outcome):
                raise ValueError(self.arguments["card"])

        Charge.enqueue("4111 1111")

        drain()

        assert "hook=after_run error=ValueError" in caplog.text
        assert "4111" not in caplog.text


class EndTests:
    @pytest.mark.parametrize(
        ("how", "expected"),
        [
            ("error", ("on_failure", "builtins.ValueError", "no", False)),
            ("discard", ("on_discard", "of no use")),
            ("cancel", ("on_cancel", "not needed")),
        ],
    )
    def test_each_end_has_its_hook(self, drain, telling, how, expected):
        telling.enqueue(how)

        drain()

        assert [expected] == TOLD[2:]

    @pytest.mark.parametrize("transactional", [False, True])
    def test_success_is_told_with_its_result_once_it_is_committed(self, drain, transactional):
        class Return(Job):
            locals().update(transactional=transactional)

            def perform(self, number):
                return {"number": number}

            def on_success(self, result):
                kept = SucceededJob.objects.get(pk=self.context.job_id).result
                TOLD.append((self.arguments, result, kept, connection.in_atomic_block))

        Return.enqueue(7)

        drain()

        assert [({"number": 7}, {"number": 7}, {"number": 7}, False)] == TOLD

    def test_failure_tells_whether_there_is_another_attempt(self, drain):
        job = declare_telling(max_attempts=2, base_delay=0)
        job.enqueue("error")

        drain()

        assert [True, False] == [told[3] for told in TOLD if told[0] == "on_failure"]

    def test_hook_knows_the_call_and_the_attempt(self, drain):
        class Fail(Job):
            def perform(self, order, note=""):
                raise ValueError

            async def on_failure(self, error, will_retry):
                context = current_context()
                TOLD.append((self.arguments["order"].number, context, self.context.attempt))

        record = Fail.using(meta={"a": 1}).enqueue(order("7"))

        drain()

        [(number, context, attempt)] = TOLD
        assert ("7", record.pk, {"a": 1}, 1) == (number, context.job_id, context.meta, attempt)

    def test_hook_is_called_after_the_commit_beside_the_coordinator(self, drain):
        class Fail(Job):
            def perform(self):
                raise ValueError

            def on_failure(self, error, will_retry):
                state = JobRecord.objects.get(pk=self.context.job_id).state
                TOLD.append((state, threading.current_thread().name))

        Fail.enqueue()

        drain()

        assert [(JobState.FAILED, "jobflow-hooks")] == TOLD

    def test_record_that_has_become_pointless_is_discarded(self, drain):
        job = declare_telling()
        job.using(expires_at=timezone.now() - timedelta(minutes=1)).enqueue("return")

        drain()

        [(hook, reason)] = TOLD
        assert "on_discard" == hook
        assert reason.startswith("Not started by ")


class WithoutSlotTests:
    """Ends that no slot sees."""

    @pytest.mark.django_db(transaction=True)
    def test_cancel_of_a_waiting_record_is_told_after_the_commit(self):
        record = declare_telling().enqueue("return")

        with transaction.atomic():
            record.cancel()
            before = list(TOLD)

        assert [] == before
        assert [("on_cancel", "")] == TOLD

    @pytest.mark.django_db(transaction=True)
    def test_cancel_that_is_rolled_back_is_not_told(self):
        record = declare_telling().enqueue("return")

        with pytest.raises(ZeroDivisionError), transaction.atomic():
            record.cancel()
            raise ZeroDivisionError

        assert [] == TOLD

    @pytest.mark.django_db(transaction=True)
    def test_operator_cancels_many(self):
        declare_telling().enqueue_many([{"how": "return"}, {"how": "error"}])

        operate.cancel_many(JobRecord.objects.all())

        assert [("on_cancel", "")] * 2 == TOLD

    @pytest.mark.django_db(transaction=True)
    def test_verb_of_the_record_tells_a_failure(self):
        declare_telling(max_attempts=2).enqueue("return")
        [record] = JobRecord.objects.reserve(1, worker="w")
        record.start()

        record.fail(ValueError("by hand"))

        assert [("on_failure", "builtins.ValueError", "by hand", True)] == TOLD

    @pytest.mark.django_db(transaction=True)
    def test_verb_of_the_record_tells_a_success(self):
        declare_telling().enqueue("return")
        [record] = JobRecord.objects.reserve(1, worker="w")
        record.start()

        record.succeed({"by": "hand"})

        assert [("on_success", {"by": "hand"})] == TOLD

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.parametrize("spent", [False, True])
    def test_worker_that_was_lost_is_a_failure(self, spent):
        name = declare_telling(max_attempts=3)._name
        JobRecordFactory(
            name=name, state=JobState.IN_PROGRESS, lapsed=True, spent=spent, kwargs={"how": ""}
        )

        rescue(engine_for())

        lost = "django_jobflow.exceptions.WorkerLost"
        message = f"Worker {WORKER} stopped renewing its lease."
        assert [("on_failure", lost, message, not spent)] == TOLD

    @pytest.mark.django_db(transaction=True)
    def test_what_was_only_held_has_not_failed(self):
        name = declare_telling()._name
        JobRecordFactory(name=name, state=JobState.RESERVED, lapsed=True, kwargs={"how": ""})

        rescue(engine_for())

        assert [] == TOLD

    @pytest.mark.django_db(transaction=True)
    def test_worker_that_is_known_to_be_dead_is_told_with_the_cause(self):
        name = declare_telling()._name
        JobRecordFactory(name=name, state=JobState.IN_PROGRESS, kwargs={"how": ""})

        rescue_worker(engine_for(), Remains(worker=WORKER, cause="was killed by SIGKILL"))

        assert f"Worker {WORKER} was killed by SIGKILL." == TOLD[0][2]

    @pytest.mark.django_db(transaction=True)
    def test_arguments_that_are_gone_are_missed_only_by_who_asks(self, caplog):
        class Tell(Job):
            def perform(self, order): ...

            def on_cancel(self, reason):
                TOLD.append("called")
                TOLD.append(self.arguments["order"])

        record = Tell.enqueue(order("7"))
        Order.objects.all().delete()

        record.cancel()

        assert ["called"] == TOLD
        assert "hook_failed" in caplog.text
        assert "ArgumentError" in caplog.text


class AftermathTests:
    def test_line_has_an_end(self, monkeypatch, caplog):
        monkeypatch.setattr("django_jobflow.worker.aftermath.MOST", 1)
        begun, go_on = threading.Event(), threading.Event()

        class Slow(Job):
            def perform(self): ...

            def on_cancel(self, reason):
                TOLD.append(reason)
                begun.set()
                go_on.wait(20)

        def due(number):
            return Due(Slow, JobRecord(id=number, name=Slow._name), "on_cancel", (number,))

        aftermath = Aftermath()
        aftermath.add(due(1))
        assert begun.wait(20)
        for number in (2, 3):
            aftermath.add(due(number))
        go_on.set()
        aftermath.stop()

        assert [1, 2] == TOLD
        assert "hook_dropped job_id=3 " in caplog.text

    def test_without_a_hook_there_is_no_thread(self):
        aftermath = Aftermath()

        aftermath.stop()

        assert "jobflow-hooks" not in {thread.name for thread in threading.enumerate()}
