"""Django's own tests of its tasks, with our backends in the place of Django's.

Once with ``JobflowBackend`` and a worker that has done all when ``enqueue`` returns, and once
with our decorator and the backends for tests.
"""

import sys
from typing import ClassVar

import environ
import pytest
from django.test import SimpleTestCase, TestCase, TransactionTestCase

from django_jobflow.declare import registry
from tests.databases import kind
from tests.tasks import differences, sources

env = environ.Env()

WORKER = {
    "django.tasks.backends.dummy.DummyBackend": "tests.tasks.drivers.Waiting",
    "django.tasks.backends.dummy import DummyBackend": (
        "tests.tasks.drivers import Waiting as DummyBackend"
    ),
    "django.tasks.backends.immediate.ImmediateBackend": "tests.tasks.drivers.Drained",
    "django.tasks.backends.immediate import ImmediateBackend": (
        "tests.tasks.drivers import Drained as ImmediateBackend"
    ),
}

TOLERANT = {
    "django.tasks.backends.dummy.DummyBackend": "django_jobflow.tasks.DummyBackend",
    "django.tasks.backends.dummy import": "django_jobflow.tasks import",
    "django.tasks.backends.immediate.ImmediateBackend": "django_jobflow.tasks.ImmediateBackend",
    "django.tasks.backends.immediate import": "django_jobflow.tasks import",
    "from django.tasks import TaskContext, task": (
        "from django.tasks import TaskContext; from django_jobflow.tasks import task"
    ),
}


class Installed:
    """Has the modules that its tests are from in ``sys.modules`` while they run."""

    loaded: ClassVar[dict] = {}

    @classmethod
    def setUpClass(cls):
        cls._before = {name: sys.modules.get(name) for name in cls.loaded}
        sys.modules |= cls.loaded
        cls._isolated = registry.isolated()
        cls._isolated.__enter__()
        super().setUpClass()

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        cls._isolated.__exit__(None, None, None)
        for name, module in cls._before.items():
            sys.modules.pop(name)
            if module is not None:
                sys.modules[name] = module


def cases_in(loaded, prefix, expected, *, with_database):
    """Yield the classes of the loaded modules, each made to run here."""
    for name, module in sorted(loaded.items()):
        for case in vars(module).values():
            if (
                isinstance(case, type)
                and issubclass(case, SimpleTestCase)
                and (case.__module__ == name)
            ):
                yield f"{prefix}{case.__name__}", made(case, loaded, expected, with_database)


def made(case, loaded, expected, with_database):
    body = {"loaded": loaded, "available_apps": None, "__module__": __name__}
    bases = (Installed, case)
    if with_database or issubclass(case, TransactionTestCase):
        body["databases"] = {"default"}
        bases += () if issubclass(case, TransactionTestCase) else (TestCase,)
    for test in (each for each in dir(case) if each.startswith("test")):
        if reason := expected.get(f"{case.__name__}.{test}"):
            body[test] = pytest.mark.xfail(reason=reason, strict=True)(getattr(case, test))
    return type(case.__name__, bases, body)


def collect():
    loaded = sources.load(WORKER)
    yield from cases_in(loaded, "Worker", differences.WORKER, with_database=True)
    if kind() == "sqlite":
        loaded = sources.load(TOLERANT)
        yield from cases_in(loaded, "Tolerant", differences.TOLERANT, with_database=False)


try:
    globals().update(collect())
except sources.SourcesUnavailable as unavailable:
    reason = str(unavailable)

    def test_sources_are_there():
        required = "django-tests" in env.list("JOBFLOW_TEST_REQUIRE", default=[])
        (pytest.fail if required else pytest.skip)(reason)
