"""From the name on a record to a task: what is imported, and what is not."""

import logging
import subprocess
import sys

import pytest

from django_jobflow import JobState
from django_jobflow.declare import registry
from django_jobflow.models import JobRecord, SucceededJob
from django_jobflow.tasks import resolving
from django_jobflow.tasks.compat import TaskResultStatus, task_backends
from tests.app import tasks
from tests.factories import JobRecordFactory

SOURCE = """
from tests.app.tasks import stock_task

@stock_task
def late(a):
    return a + 1

def no_task():
    raise AssertionError
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module that nobody has imported; returns its name."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(resolving, "_failed", {})
    made = []

    def write(name, source=SOURCE):
        path = tmp_path.joinpath(*name.split("."))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".py").write_text(source)
        made.append(name)
        return name

    with registry.isolated():
        yield write
    for name in made:
        for each in (name, name.partition(".")[0]):
            sys.modules.pop(each, None)


class FindTests:
    def test_module_of_the_options_is_imported(self, module):
        name = module("strange.later")

        found = resolving.find_task(f"{name}.late")

        assert sys.modules[name].late is found

    @pytest.mark.parametrize(
        ("name", "is_imported"),
        [("tasks", True), ("tasks.sub", True), ("deep.tasks", True), ("scripts", False)],
    )
    def test_module_of_an_app_is_imported_if_it_is_for_tasks(
        self, module, tmp_path, settings, name, is_imported
    ):
        app = f"newcomer_{name.replace('.', '_')}"
        package = tmp_path / app
        package.joinpath(*name.split(".")[:-1]).mkdir(parents=True)
        (package / "__init__.py").touch()
        module(f"{app}.{name}")
        settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, app]

        found = resolving.find_task(f"{app}.{name}.late")

        assert (found is not None, f"{app}.{name}" in sys.modules) == (is_imported,) * 2

    @pytest.mark.parametrize("path", ["stranger.late", "strangers.late", "os.system"])
    def test_module_elsewhere_is_not_imported(self, module, path):
        name = module(path.partition(".")[0]) if path != "os.system" else ""

        assert resolving.find_task(path) is None
        assert name not in sys.modules

    @pytest.mark.parametrize(
        "path",
        [
            "tests.app.tasks.no_task",
            "tests.app.tasks.Order",
            "tests.app.tasks.ENDS",
            "tests.app.tasks.add.func",
            "tests.app.tasks.nothing",
            "tests.app.tasks.nameless",
            "tests.app.tasks",
            "tests.app.tasks.<lambda>",
            "tests..tasks.add",
            "",
            "add",
            "tests.nowhere.at.all",
        ],
    )
    def test_what_is_no_task_is_not_found(self, path):
        assert resolving.find_task(path) is None

    def test_task_in_a_class_is_found(self):
        assert tasks.Within.inside is resolving.find_task("tests.app.tasks.Within.inside")

    def test_module_that_cannot_be_imported_is_tried_later(self, module, caplog, monkeypatch):
        name = module("strange.broken", "raise RuntimeError('not today')")

        with caplog.at_level(logging.ERROR):
            assert resolving.find_task(f"{name}.late") is None
            assert resolving.find_task(f"{name}.late") is None

        assert 1 == caplog.text.count("task_module_failed module=strange.broken")
        assert "not today" in caplog.text
        module("strange.broken")
        monkeypatch.setattr(resolving, "_failed", {})
        assert resolving.find_task(f"{name}.late") is not None


class WorkerTests:
    def test_task_that_nobody_has_imported_is_run(self, module, drain):
        name = module("strange.later")
        record = JobRecordFactory(
            name=f"{name}.late",
            kwargs={"a": 1},
            max_attempts=1,
            meta={"jobflow.task": {"backend": "default"}},
        )

        drain()

        assert 2 == SucceededJob.objects.get(pk=record.pk).result

    def test_function_that_is_no_task_is_not_run(self, module, drain):
        name = module("strange.later")
        record = JobRecordFactory(name=f"{name}.no_task", kwargs={}, max_attempts=1)

        drain()

        record.refresh_from_db()
        assert (JobState.SCHEDULED, 0) == (record.state, record.attempt)

    def test_real_worker_finds_the_tasks_of_the_apps(self, worker_env, tmp_path):
        result = tasks.add.enqueue(1)

        subprocess.run(
            [sys.executable, "-m", "django", "runjobs", "--drain", "--processes", "1"],
            env=worker_env,
            cwd=tmp_path,
            check=True,
            capture_output=True,
        )

        result.refresh()
        assert (TaskResultStatus.SUCCESSFUL, 2) == (result.status, result.return_value)
        assert 0 == JobRecord.objects.count()

    @pytest.mark.django_db
    def test_result_of_a_task_that_nobody_has_imported_is_read(self, module):
        name = module("strange.later")
        record = JobRecordFactory(
            name=f"{name}.late", kwargs={"a": 1}, meta={"jobflow.task": {"backend": "default"}}
        )

        result = task_backends["default"].get_result(str(record.pk))

        assert 3 == result.task.call(2)


BARE = """
import sys
import django_jobflow
assert not [each for each in sys.modules if each.startswith(("django.tasks", "django_tasks"))]
"""
EARLY = """
import sys
from django.conf import settings
settings.configure(TASKS={"default": {"BACKEND": "django_jobflow.tasks.JobflowBackend"}})
from django_jobflow.tasks import task
exec("def f(): pass")
f.__module__ = "shop.tasks"
declared = task(max_attempts=2)(f)
assert "django_jobflow.models" not in sys.modules
"""


@pytest.mark.parametrize("code", [BARE, EARLY], ids=["bare import", "before the apps are ready"])
def test_nothing_more_is_imported_than_is_needed(code, tmp_path, worker_env):
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=worker_env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )

    assert (0, "") == (ended.returncode, ended.stderr)
