"""Tasks with options on every backend: our class, our decorator, and the backends for tests."""

import pickle
from datetime import timedelta

import django
import pytest
from django.core.checks import Error
from django.db import transaction
from django.utils import timezone

from django_jobflow.declare import registry
from django_jobflow.declare.call_options import READERS
from django_jobflow.declare.options import NAMES
from django_jobflow.tasks import UNSET, JobflowTask, task
from django_jobflow.tasks.compat import (
    InvalidTask,
    Task,
    TaskResultDoesNotExist,
    TaskResultStatus,
    task_backends,
    task_enqueued,
)
from django_jobflow.tasks.declaring import rebuilt
from django_jobflow.tasks.options import FOREIGN, declaration_of, options_of
from tests.app import tasks
from tests.tasks.test_running import NOT_STORED

STOCK = "django.tasks" if django.VERSION >= (6, 0) else "django_tasks"
EVERY_OPTION = {
    "max_attempts": 3,
    "timeout": 60,
    "backoff": lambda attempt: 1,
    "transactional": True,
    "queue_key": lambda a, b: f"k:{a}",
    "execution_key": lambda a, b: None,
    "retain_succeeded": 0,
    "keep_logs": True,
}


@pytest.fixture(autouse=True)
def backends(settings):
    ours = ("DummyBackend", "ImmediateBackend", "InlineBackend", "JobflowBackend")
    settings.TASKS = {name: {"BACKEND": f"django_jobflow.tasks.{name}"} for name in ours}
    settings.TASKS |= {
        "default": {"BACKEND": f"{STOCK}.backends.dummy.DummyBackend", "QUEUES": []},
        "stock": {"BACKEND": f"{STOCK}.backends.immediate.ImmediateBackend", "QUEUES": []},
    }
    settings.TASKS["JobflowBackend"]["QUEUES"] = ["default", "email"]
    settings.TASKS["any"] = settings.TASKS["JobflowBackend"]
    with registry.isolated():
        yield


def add(a, b=1):
    return a + b


class ClassTests:
    def test_has_every_option_of_a_job(self):
        expected = ({*NAMES, *READERS, "queue_key", "execution_key"} - FOREIGN) | {"metadata"}

        core = set(Task.__dataclass_fields__)
        assert expected == set(JobflowTask.__dataclass_fields__) - core - {"declaration"}

    def test_what_nobody_has_said_is_unset(self):
        declared = task(backend="DummyBackend", timeout=None)(add)

        assert (None, UNSET, {}) == (declared.timeout, declared.max_attempts, declared.metadata)

    def test_is_hashable_whatever_its_options_are(self):
        one, other = (task(backend="DummyBackend", rate=rate)(add) for rate in ("1/s", "2/s"))

        assert hash(one) == hash(other)
        assert one != other

    @pytest.mark.parametrize(
        "made",
        [
            tasks.unique,
            tasks.unique.using(backend="any", queue_key="k", run_after=timedelta(hours=1)),
            tasks.fail_until.using(backend="any", max_attempts=9, tags=["a"]),
        ],
    )
    def test_is_pickled_with_its_options(self, made):
        read = pickle.loads(pickle.dumps(made))

        assert made == read
        assert declaration_of(made) is declaration_of(read)

    def test_is_pickled_where_its_path_leads_to_a_task_of_another_class(self, settings):
        made = task(backend="DummyBackend", tags=["a"])(tasks.add.func)
        stock = task(backend="stock")(tasks.add.func)
        pickled = pickle.dumps(made)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tasks, "add", stock)
            read = pickle.loads(pickled)

        assert made == read

    @pytest.mark.parametrize("path", ["does.not.exist", "builtins.any"])
    def test_what_was_pickled_may_be_gone(self, path):
        with pytest.raises(ValueError, match=f"Expected '{path}' to point to a Task instance."):
            rebuilt(JobflowTask, path, {})

    def test_span_becomes_a_moment_where_the_backend_takes_none(self):
        declared = task(backend="DummyBackend")(add).using(run_after=timedelta(minutes=5))

        moved = declared.using(backend="default")

        assert timedelta(minutes=5) == declared.run_after
        assert timedelta(minutes=4) < moved.run_after - timezone.now() <= timedelta(minutes=5)


class DecoratorTests:
    @pytest.mark.parametrize("backend", ["default", "stock"])
    def test_keeps_options_beside_the_tasks_of_others(self, backend):
        declared = task(backend=backend, queue_name="email", **EVERY_OPTION)(add)

        assert type(declared) is Task
        assert EVERY_OPTION == options_of(declared)
        assert EVERY_OPTION == options_of(declared.using(priority=1 if backend == "stock" else 2))

    def test_options_beside_count_once_the_task_comes_to_us(self, settings):
        declared = task(backend="default", max_attempts=7)(tasks.no_task)

        moved = declared.using(backend="JobflowBackend")

        assert type(moved) is Task
        assert 7 == registry.get(moved.module_path).definition().max_attempts

    def test_without_brackets_and_without_options(self):
        declared = task(add)

        assert isinstance(declared, Task)
        assert {} == options_of(declared)

    def test_run_after_is_refused_as_django_does(self):
        with pytest.raises(TypeError, match="run_after cannot be defined statically"):
            task(run_after=timezone.now())

    def test_wrong_value_is_refused_on_every_backend(self):
        with pytest.raises(InvalidTask, match="expected timeout to be seconds or a timedelta"):
            task(backend="default", timeout="soon")(add)


class TolerantTests:
    @pytest.mark.parametrize("backend", ["DummyBackend", "ImmediateBackend", "InlineBackend"])
    def test_takes_every_option_and_any_queue(self, backend):
        declared = task(backend=backend, queue_name="any", **EVERY_OPTION)(add)

        result = declared.using(metadata={"a": 1}, tags=["b"]).enqueue(1, b=2)

        assert (declared, {"a": 1}) == (declared.using(), result.metadata)
        assert [1] == result.args

    @pytest.mark.parametrize("backend", ["ImmediateBackend", "InlineBackend"])
    def test_context_is_the_same(self, backend):
        result = tasks.count_up.using(backend=backend, metadata={"count": 4}).enqueue("save")

        assert (5, {"count": 5}) == (result.return_value, result.metadata)

    def test_immediate_keeps_what_a_failed_task_has_changed(self):
        result = tasks.count_up.using(backend="ImmediateBackend").enqueue("fail")

        assert (TaskResultStatus.FAILED, {"count": 1}) == (result.status, result.metadata)

    @pytest.mark.parametrize(("number", "said"), NOT_STORED)
    def test_result_that_a_worker_could_not_store_is_a_failure(self, number, said):
        result = tasks.return_one_of.using(backend="ImmediateBackend").enqueue(number)

        (error,) = result.errors
        assert TaskResultStatus.FAILED == result.status
        assert said in error.message

    def test_result_is_as_a_worker_would_store_it(self):
        result = tasks.return_one_of.using(backend="ImmediateBackend").enqueue(0)

        expected = {"1": "a", "null": {"true": 2.5}, "b": [{"0.5": "c"}]}
        assert expected == result.return_value

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.parametrize("backend", ["DummyBackend", "ImmediateBackend", "InlineBackend"])
    def test_waits_for_a_commit_where_it_is_asked_to(self, backend):
        seen = []

        def hear(task_result, **kwargs):
            seen.append(task_result.args)

        task_enqueued.connect(hear)
        try:
            with transaction.atomic():
                tasks.add.using(backend=backend).enqueue_on_commit(1)
                assert [] == seen
        finally:
            task_enqueued.disconnect(hear)

        assert [[1]] == seen

    def test_inline_raises_what_the_task_raises(self):
        with pytest.raises(ValueError, match="no"):
            tasks.fail_until.using(backend="InlineBackend").enqueue(9)

        (result,) = task_backends["InlineBackend"].results
        assert (TaskResultStatus.FAILED, 1) == (result.status, len(result.errors))

    def test_inline_does_not_wait_and_gives_results(self):
        later = tasks.add.using(backend="InlineBackend", run_after=timedelta(days=1))

        result = later.enqueue(1)

        assert 2 == later.get_result(result.id).return_value
        with pytest.raises(TaskResultDoesNotExist):
            later.get_result("7")
        task_backends["InlineBackend"].clear()
        assert [] == task_backends["InlineBackend"].results


class CheckTests:
    def check(self, settings, **options):
        params = {"BACKEND": "django_jobflow.tasks.JobflowBackend", "OPTIONS": options}
        settings.TASKS = {"default": params}
        return task_backends["default"].check()

    def test_right_options_are_taken(self, settings):
        assert [] == self.check(settings, database="other", modules=["shop"])

    def test_mistakes_are_named(self, settings):
        unknown, database, modules = self.check(
            settings, modules="shop", databse="other", database="nowhere"
        )

        assert [
            Error(
                "TASKS['default']['OPTIONS']: 'databse' is not an option. Did you mean "
                "'database'?",
                hint="The options are database, modules.",
                id="jobflow.E020",
            ),
            Error(
                "TASKS['default']['OPTIONS']['database']: expected one of the aliases in "
                "DATABASES ['default', 'other'], got 'nowhere'.",
                hint="Correct it, or remove 'database' to have the default.",
                id="jobflow.E021",
            ),
            Error(
                "TASKS['default']['OPTIONS']['modules']: expected a list of the names of "
                "packages, got 'shop'.",
                hint="Correct it, or remove 'modules' to have the default.",
                id="jobflow.E021",
            ),
        ] == [unknown, database, modules]

    def test_missing_app_is_named(self, settings):
        settings.INSTALLED_APPS = ["tests.app"]

        assert ["jobflow.E022"] == [each.id for each in self.check(settings)]
