"""What the backend stores, and what it gives back."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta

import django
import pytest
from asgiref.sync import async_to_sync
from django.db import connection, transaction

from django_jobflow import DuplicateJob, Job, JobState
from django_jobflow.declare import registry
from django_jobflow.models import JobRecord
from django_jobflow.tasks import DuplicateTask, JobflowTaskResult, task
from django_jobflow.tasks.compat import (
    InvalidTask,
    Task,
    TaskResultDoesNotExist,
    TaskResultStatus,
    task_backends,
    task_enqueued,
)
from tests.app import tasks
from tests.factories import JobRecordFactory, SucceededJobFactory

LOGGER = "django.tasks" if django.VERSION >= (6, 0) else "django_tasks"
NOON = datetime(2030, 5, 1, 12, tzinfo=UTC)


def get(result):
    return task_backends["default"].get_result(result.id)


class ConformanceTests:
    """A row of the table in the reference, column by column; the page has these words."""

    @pytest.mark.django_db
    def test_enqueue_signal_has_the_class_as_sender(self):
        seen = []

        def hear(sender, task_result, **kwargs):
            seen.append((sender, task_result.id, task_result.status))

        task_enqueued.connect(hear)
        try:
            result = tasks.add.enqueue(1)
        finally:
            task_enqueued.disconnect(hear)

        assert [(type(task_backends["default"]), result.id, TaskResultStatus.READY)] == seen

    @pytest.mark.django_db
    @pytest.mark.parametrize(
        "bad", ["", "x", "-1", "0", "01", "1.0", "1 ", "\u0661", "1" * 19, "9" * 64, None, 7, b"1"]
    )
    def test_bad_id_does_not_exist(self, bad):
        with pytest.raises(TaskResultDoesNotExist):
            task_backends["default"].get_result(bad)

    def test_bad_argument_is_a_type_error(self):
        with pytest.raises(TypeError, match=r"Unsupported type: <class 'datetime.datetime'>"):
            tasks.add.enqueue(NOON)

    def test_unknown_queue_is_an_invalid_task(self):
        with pytest.raises(InvalidTask, match="Queue 'unknown' is not valid for backend"):
            tasks.add.using(queue_name="unknown")

    @pytest.mark.django_db
    @pytest.mark.parametrize("declared", [tasks.add, tasks.fail_until], ids=["stock", "own"])
    def test_run_after_as_timedelta_counts_from_the_enqueue(self, declared):
        result = declared.using(run_after=timedelta(minutes=5)).enqueue(1)

        record = JobRecord.objects.get(pk=result.id)
        assert JobState.SCHEDULED == record.state
        assert timedelta(minutes=5) == record.available_at - record.created_at
        assert record.available_at == result.task.run_after == get(result).task.run_after

    @pytest.mark.django_db(transaction=True)
    def test_rolls_back_with_the_caller(self):
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            result = tasks.add.enqueue(1)
            raise ZeroDivisionError

        with pytest.raises(TaskResultDoesNotExist):
            result.refresh()

    @pytest.mark.django_db
    def test_enqueue_is_one_statement(self, django_assert_num_queries):
        with django_assert_num_queries(1):
            tasks.add.enqueue(1, b=2)


class EnqueueTests:
    @pytest.mark.django_db
    def test_result_is_what_is_stored(self):
        result = tasks.make_order.using(priority=7).enqueue("7", fails=False)

        record = JobRecord.objects.get(pk=result.id)
        assert isinstance(result, JobflowTaskResult)
        assert ("tests.app.tasks.make_order", "email", 7) == (
            record.name,
            record.queue,
            record.priority,
        )
        assert (TaskResultStatus.READY, ["7"], {"fails": False}, "default", [], [], 0) == (
            result.status,
            result.args,
            result.kwargs,
            result.backend,
            result.errors,
            result.worker_ids,
            result.attempts,
        )
        assert record.created_at == result.enqueued_at
        assert {result} == {get(result)}
        assert (None, None, None) == (
            result.started_at,
            result.last_attempted_at,
            result.finished_at,
        )
        assert result == get(result)

    @pytest.mark.django_db
    def test_result_is_found_by_at_most_two_statements(self, django_assert_num_queries):
        waiting, done = tasks.add.enqueue(1), SucceededJobFactory(name="tests.app.tasks.add")

        with django_assert_num_queries(1):
            get(waiting)
        with django_assert_num_queries(2):
            assert {"sent": True} == task_backends["default"].get_result(str(done.pk)).return_value

    @pytest.mark.django_db
    def test_what_stands_in_a_plain_json_comes_back_equal(self):
        value = {"a": [1, 2.5, None, True], "$jobflow": "x", "\u20ac": 10**30, "e": 1e16}

        result = tasks.add.enqueue((1, 2), b=value)

        assert ([[1, 2]], {"b": value}) == (get(result).args, get(result).kwargs)

    @pytest.mark.parametrize(
        ("value", "said"),
        [
            ("a\0b", r"a NUL character in 'a\x00b' at args[0]."),
            ("\ud800", r"a lone surrogate in '\ud800' at args[0]."),
            (float("nan"), "nan at args[0]."),
            ([float("-inf")], "-inf at args[0][0]."),
        ],
    )
    def test_what_not_every_database_can_hold_is_refused(self, value, said):
        with pytest.raises(TypeError) as caught:
            tasks.add.enqueue(value)

        expected = "tests.app.tasks.add: expected arguments that can be stored as JSON, got "
        assert expected + said == str(caught.value)

    def test_call_that_does_not_fit_is_refused(self):
        with pytest.raises(TypeError, match=r"tests.app.tasks.add: missing a required argument"):
            tasks.add.enqueue()
        with pytest.raises(TypeError, match="too many positional arguments"):
            tasks.tell_attempt.enqueue("note", "the context is not given by the caller")

    @pytest.mark.django_db
    def test_run_after_is_a_due_time(self):
        result = tasks.add.using(run_after=NOON).enqueue(1)

        record = JobRecord.objects.get(pk=result.id)
        assert (JobState.SCHEDULED, NOON) == (record.state, record.available_at)
        assert NOON == get(result).task.run_after

    @pytest.mark.parametrize(
        ("after", "said"),
        [
            (datetime(2030, 5, 1), "run_after must be an aware datetime."),
            (
                60,
                "tests.app.tasks.add: expected run_after to be an aware datetime or a "
                "timedelta, got 60.",
            ),
            (
                timedelta(seconds=-1),
                "tests.app.tasks.add: expected run_after to be seconds or a timedelta, from 0 "
                "to 100 years, got datetime.timedelta(days=-1, seconds=86399).",
            ),
        ],
        ids=["naive", "number", "negative"],
    )
    def test_run_after_that_is_none_is_refused(self, after, said):
        with pytest.raises(InvalidTask) as caught:
            tasks.add.using(run_after=after)

        assert said == str(caught.value)

    def test_queue_that_no_job_can_be_on_is_refused(self):
        with pytest.raises(InvalidTask, match="expected queue to be 1 to 100 letters"):
            tasks.add.using(backend="any", queue_name="two words")

    @pytest.mark.django_db(databases=["default", "other"])
    def test_backend_may_have_another_database(self):
        result = tasks.add.using(backend="elsewhere").enqueue(1)

        assert [int(result.id)] == [*JobRecord.objects.using("other").values_list("pk", flat=True)]
        assert [] == [*JobRecord.objects.all()]
        result.refresh()
        assert "elsewhere" == result.backend

    @pytest.mark.django_db(transaction=True)
    def test_receiver_that_raises_undoes_the_enqueue(self):
        def refuse(**kwargs):
            raise ZeroDivisionError

        task_enqueued.connect(refuse)
        try:
            with pytest.raises(ZeroDivisionError), transaction.atomic():
                tasks.add.enqueue(1)
        finally:
            task_enqueued.disconnect(refuse)

        assert 0 == JobRecord.objects.count()

    @pytest.mark.django_db
    def test_is_logged_by_django(self, caplog):
        with caplog.at_level(logging.DEBUG, logger=LOGGER):
            result = tasks.add.enqueue(1)

        (line,) = [each for each in caplog.records if each.name == LOGGER]
        assert logging.DEBUG == line.levelno
        assert (
            f"Task id={result.id} path=tests.app.tasks.add enqueued backend=default"
            == line.getMessage()
        )


class OnCommitTests:
    """``enqueue_on_commit``, as it is being discussed for Django."""

    @pytest.mark.django_db(transaction=True)
    def test_is_enqueued_when_the_transaction_commits(self):
        given = [1]
        with transaction.atomic():
            assert tasks.add.using(priority=7).enqueue_on_commit(given, b=2) is None
            given.append(2)
            assert 0 == JobRecord.objects.count()

        record = JobRecord.objects.get()
        assert ([[1]], {"b": 2}, 7) == (record.args, record.kwargs, record.priority)

    @pytest.mark.django_db(transaction=True)
    def test_is_not_enqueued_when_it_is_rolled_back(self):
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            tasks.add.enqueue_on_commit(1)
            raise ZeroDivisionError

        assert 0 == JobRecord.objects.count()

    @pytest.mark.django_db(transaction=True)
    def test_is_enqueued_at_once_without_a_transaction(self):
        tasks.add.enqueue_on_commit(1)

        assert 1 == JobRecord.objects.count()

    @pytest.mark.django_db(transaction=True, databases=["default", "other"])
    def test_waits_for_the_database_that_the_tasks_are_in(self):
        with transaction.atomic(using="other"):
            with transaction.atomic():
                tasks.add.using(backend="elsewhere").enqueue_on_commit(1)
            assert 0 == JobRecord.objects.using("other").count()

        assert 1 == JobRecord.objects.using("other").count()

    @pytest.mark.parametrize("argument", [NOON, {1}])
    def test_what_is_no_json_is_refused_before_the_commit(self, argument):
        with pytest.raises(TypeError, match="Unsupported type"):
            tasks.add.enqueue_on_commit(argument)

    @pytest.mark.parametrize("call", [(), (1, 2, 3), ("a\0b",)])
    def test_call_that_cannot_be_stored_is_refused_before_the_commit(self, call):
        with pytest.raises(TypeError, match=r"^tests.app.tasks.add: "):
            tasks.add.enqueue_on_commit(*call)

    def test_path_that_no_worker_finds_is_refused_before_the_commit(self):
        with pytest.raises(InvalidTask, match=r"tests.app.tasks.<lambda>: expected the task of"):
            tasks.nameless.enqueue_on_commit()


class AsyncTests:
    @pytest.mark.django_db(transaction=True)
    def test_belongs_to_the_transaction_of_the_caller(self):
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            result = async_to_sync(tasks.add.aenqueue)(1)
            assert [int(result.id)] == [*JobRecord.objects.values_list("pk", flat=True)]
            raise ZeroDivisionError

        assert 0 == JobRecord.objects.count()

    @pytest.mark.django_db(transaction=True)
    def test_many_at_a_time(self):
        async def enqueue():
            return await asyncio.gather(*[tasks.add.aenqueue(n) for n in range(20)])

        results = async_to_sync(enqueue)()

        assert [[n] for n in range(20)] == [get(result).args for result in results]

    @pytest.mark.django_db
    def test_async_receiver_is_awaited_on_the_loop(self):
        seen = []

        async def hear(sender, task_result, **kwargs):
            seen.append((asyncio.get_running_loop(), task_result.id))

        async def enqueue():
            task_enqueued.connect(hear)
            try:
                result = await tasks.add_async.aenqueue(1)
                return asyncio.get_running_loop(), result
            finally:
                task_enqueued.disconnect(hear)

        loop, result = async_to_sync(enqueue)()

        assert [(loop, result.id)] == seen

    @pytest.mark.django_db
    def test_results_are_read_and_refreshed(self):
        async def read():
            result = await tasks.add.aenqueue(1)
            await result.arefresh()
            return result == await tasks.add.aget_result(result.id)

        assert async_to_sync(read)()

    def test_wrong_argument_is_refused_before_a_thread_is_asked(self):
        with pytest.raises(TypeError, match="Unsupported type"):
            async_to_sync(tasks.add.aenqueue)(NOON)


class StoredTests:
    """Results of what is not as it was."""

    @pytest.mark.django_db
    def test_function_that_is_gone(self):
        record = JobRecordFactory(
            name="tests.app.tasks.gone",
            kwargs={"a": 1},
            meta={"jobflow.task": {"backend": "default"}},
        )

        result = task_backends["default"].get_result(str(record.pk))

        assert ("tests.app.tasks.gone", "gone", {"a": 1}) == (
            result.task.module_path,
            result.task.name,
            result.kwargs,
        )
        with pytest.raises(LookupError) as caught:
            result.task.call()
        assert (
            "No task is found under 'tests.app.tasks.gone': its function is gone or renamed."
            == str(caught.value)
        )

    @pytest.mark.django_db
    def test_queue_that_is_no_longer_served(self, settings):
        result = tasks.make_order.enqueue("7")
        changed = settings.TASKS["default"] | {"QUEUES": ["default"]}
        settings.TASKS = {"default": changed}

        assert "email" == get(result).task.queue_name

    @pytest.mark.django_db
    def test_alias_that_is_gone(self, settings):
        result = tasks.add.using(backend="any").enqueue(1)
        settings.TASKS = {"default": settings.TASKS["default"]}

        assert ("default", "default") == (get(result).backend, get(result).task.backend)

    @pytest.mark.django_db
    def test_job_that_is_no_task_is_no_result(self):
        record = JobRecordFactory()

        with pytest.raises(TaskResultDoesNotExist):
            task_backends["default"].get_result(str(record.pk))

    @pytest.mark.django_db
    def test_row_that_somebody_has_spoilt(self):
        record = JobRecordFactory(
            name="tests.app.tasks.add",
            state=JobState.FAILED,
            args={"no": "list"},
            kwargs={"a": {"$jobflow": "nonsense"}},
            errors=["nothing", {"number": "x", "at": "never"}],
            meta={"jobflow.task": {"run_after": "soon", "delay": "later", "backend": 7}},
        )

        result = task_backends["default"].get_result(str(record.pk))

        assert TaskResultStatus.FAILED == result.status
        assert ["unknown"] * record.attempt == result.worker_ids


class StatusTests:
    """The four of Django for the nine of ours."""

    @pytest.mark.django_db
    @pytest.mark.parametrize("state", JobState)
    def test_live_record(self, state):
        record = JobRecordFactory(name="tests.app.tasks.add", state=state)

        result = task_backends["default"].get_result(str(record.pk))

        expected = {
            JobState.IN_PROGRESS: TaskResultStatus.RUNNING,
            JobState.FAILED: TaskResultStatus.FAILED,
            JobState.CANCELLED: TaskResultStatus.FAILED,
        }.get(state, TaskResultStatus.READY)
        assert (expected, state, record.attempt) == (result.status, result.state, result.attempts)
        assert record.finished_at == result.finished_at

    @pytest.mark.django_db
    def test_cancelled_one_has_an_error_that_says_so(self):
        record = JobRecordFactory(name="tests.app.tasks.add", state=JobState.CANCELLED)

        (error,) = task_backends["default"].get_result(str(record.pk)).errors

        assert "JobCancelled" == error.exception_class.__name__
        assert "Cancelled before it ran." == error.message


class OptionTests:
    @pytest.mark.django_db
    def test_options_of_the_declaration_are_those_of_the_job(self):
        definition = registry.get("tests.app.tasks.fail_until").definition()

        assert (3, timedelta(0), timedelta(hours=1)) == (
            definition.max_attempts,
            definition.base_delay,
            definition.timeout,
        )

    @pytest.mark.django_db
    def test_settings_of_the_project_beat_the_hour(self, settings):
        settings.JOBFLOW = {"DEFAULTS": {"timeout": 5}}

        assert timedelta(seconds=5) == registry.get("tests.app.tasks.add").definition().timeout

    @pytest.mark.django_db
    def test_options_of_a_call(self):
        result = tasks.fail_until.using(
            max_attempts=9, timeout=None, tags=["a"], queue_key="k", partition="p"
        ).enqueue(1)

        record = JobRecord.objects.get(pk=result.id)
        assert (9, None, ["a"], "k", "p") == (
            record.max_attempts,
            record.timeout,
            record.tags,
            record.queue_key,
            record.partition,
        )

    @pytest.mark.django_db
    def test_held_key_returns_the_holder_and_sends_no_signal(self):
        seen = []

        def hear(task_result, **kwargs):
            seen.append(task_result.id)

        task_enqueued.connect(hear)
        try:
            first = tasks.fail_until.using(queue_key="k").enqueue(1)
            second = tasks.fail_until.using(queue_key="k").enqueue(2)
        finally:
            task_enqueued.disconnect(hear)

        assert (first.id, [1], False, True) == (
            second.id,
            second.args,
            first.duplicate,
            second.duplicate,
        )
        assert [first.id] == seen

    @pytest.mark.django_db
    def test_held_key_may_raise_what_django_knows(self):
        first = tasks.unique.enqueue("a")

        with pytest.raises(DuplicateTask) as caught:
            tasks.unique.enqueue("a")

        assert isinstance(caught.value, InvalidTask)
        assert isinstance(caught.value, DuplicateJob)
        assert int(first.id) == caught.value.record.pk

    def test_retention_of_nothing_leaves_nothing(self):
        with registry.isolated():
            kept = task(retain_succeeded=0)(undecorated)

            assert timedelta(0) == registry.get(kept.module_path).definition().retain_succeeded

    def test_option_with_a_wrong_value_is_refused_where_it_is_written(self):
        with pytest.raises(InvalidTask) as caught:
            task(max_attempts=0)(tasks.no_task)

        assert (
            "tests.app.tasks.add: expected max_attempts to be a whole number from 1 to 10000, "
            "got 0." == str(caught.value)
        )

    def test_option_that_is_none_is_a_type_error_as_with_django(self):
        with pytest.raises(TypeError, match="unexpected keyword argument 'max_attempt'"):
            task(max_attempt=3)(tasks.no_task)

    def test_using_refuses_what_belongs_to_the_declaration(self):
        with pytest.raises(InvalidTask, match="expected transactional to be said in the decl"):
            tasks.make_order.using(transactional=False)
        with pytest.raises(InvalidTask, match=r"'max_attempt' is not an option. Did you mean"):
            tasks.make_order.using(max_attempt=3)
        with pytest.raises(InvalidTask, match=r"'declaration' is not an option"):
            tasks.make_order.using(declaration=None)
        with pytest.raises(InvalidTask, match="expected base_delay to be said in the decl"):
            tasks.make_order.using(base_delay=None)

    def test_what_using_notes_is_no_option(self):
        with pytest.raises(TypeError, match="unexpected keyword argument 'declaration'"):
            task(declaration=tasks.add)

    def test_options_that_contradict_each_other_are_refused(self):
        with pytest.raises(InvalidTask, match="expected transactional to be False for an async"):
            task(transactional=True)(undecorated_async)

    @pytest.mark.django_db
    def test_options_of_a_call_change_nothing_else(self):
        job = registry.get("tests.app.tasks.unique")
        before = job.definition()

        tasks.unique.using(
            max_attempts=9, timeout=None, queue_key="k", unique_for=60, keep_logs=True, notify="n"
        ).enqueue("a")
        result = tasks.unique.enqueue("a")

        assert job is registry.get("tests.app.tasks.unique")
        assert before == job.definition()
        record = JobRecord.objects.get(pk=result.id)
        assert ("unique:a", before.max_attempts, before.timeout) == (
            record.queue_key,
            record.max_attempts,
            record.timeout,
        )
        assert {"jobflow.task": {"backend": "default"}} == record.meta

    @pytest.mark.django_db
    def test_none_stands_for_what_the_declaration_says(self):
        named = tasks.unique.using(queue_key="k", max_attempts=9, tags=["a"], unique_for=60)

        result = named.using(queue_key=None, max_attempts=None, unique_for=None).enqueue("a")

        record = JobRecord.objects.get(pk=result.id)
        assert ("unique:a", 1, ["a"]) == (record.queue_key, record.max_attempts, record.tags)

    def test_call_of_a_task_that_was_declared_elsewhere_declares_nothing(self, settings):
        settings.TASKS = {
            "default": {"BACKEND": "django_jobflow.tasks.DummyBackend"},
            "ours": {"BACKEND": "django_jobflow.tasks.JobflowBackend", "QUEUES": []},
        }
        with registry.isolated():
            declared = task(max_attempts=3, priority=5)(undecorated)

            moved = declared.using(backend="ours", queue_name="slow", max_attempts=9, priority=7)

            definition = registry.get(moved.module_path).definition()
        assert (3, "default", 5) == (
            definition.max_attempts,
            definition.queue,
            definition.priority,
        )

    @pytest.mark.parametrize(
        ("options", "names"),
        [
            ({"max_attempts": 9, "base_delay": 0}, "base_delay, max_attempts"),
            ({"timeout": None}, "timeout"),
        ],
    )
    def test_second_declaration_of_a_function_is_refused(self, options, names):
        before = registry.get("tests.app.tasks.add")

        with pytest.raises(InvalidTask) as caught:
            task(**options)(tasks.add.func)

        assert (
            "tests.app.tasks.add: expected one declaration of this function, got another with "
            f"other {names}. Say options of a call with using(), and decorate another function "
            "where they cannot be said there." == str(caught.value)
        )
        assert before is registry.get("tests.app.tasks.add")

    def test_second_declaration_that_says_the_same_of_the_job_is_taken(self):
        before = registry.get("tests.app.tasks.fail_until")

        task(max_attempts=3, base_delay=0, takes_context=True, priority=9)(tasks.fail_until.func)

        assert before is registry.get("tests.app.tasks.fail_until")


class PathTests:
    """A worker finds a task by its path, or it is refused at once."""

    @pytest.mark.django_db
    def test_task_in_a_class_is_found(self):
        assert "tests.app.tasks.Within.inside" == tasks.Within.inside.enqueue().task.module_path

    def test_lambda_is_refused(self):
        with pytest.raises(InvalidTask, match=r"tests.app.tasks.<lambda>: expected the task of"):
            tasks.nameless.enqueue()

    def test_function_that_hides_behind_another_name_is_refused(self):
        with registry.isolated():
            other = task(undecorated)

            with pytest.raises(InvalidTask, match=r"got None. Decorate a function of a module"):
                other.enqueue()

    def test_module_that_a_worker_may_not_import_is_refused(self, monkeypatch):
        monkeypatch.setattr("django_jobflow.tasks.resolving._packages", lambda: iter(["shop"]))
        monkeypatch.setattr("django_jobflow.tasks.resolving._checked", {})

        with pytest.raises(InvalidTask) as caught:
            tasks.add.enqueue(1)

        assert (
            "tests.app.tasks.add: expected a module that a worker may import, got "
            "'tests.app.tasks'. Move the task to the tasks.py of an installed app, or add the "
            "module to TASKS['default']['OPTIONS']['modules']." == str(caught.value)
        )

    def test_name_of_another_job_is_refused(self):
        with registry.isolated():
            type("Taken", (Job,), {"name": f"{__name__}.undecorated", "perform": lambda self: 0})

            with pytest.raises(InvalidTask, match="is taken by"):
                task(undecorated)


def undecorated():
    """A function that is no task under its own name."""


async def undecorated_async():
    """An async one."""


class ClassTests:
    def test_tasks_of_django_get_our_class(self):
        assert isinstance(tasks.add, Task)
        assert tasks.add.using(max_attempts=3).max_attempts == 3

    @pytest.mark.django_db
    def test_transaction_that_is_broken_is_left_alone(self):
        with pytest.raises(transaction.TransactionManagementError), transaction.atomic():
            connection.set_rollback(True)
            tasks.add.enqueue(1)
