"""The real packages that one moves away from, each installed for the tests that want it."""

import sys
from contextlib import contextmanager

import pytest
from django.conf import settings
from django.contrib import admin
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.test import override_settings

from django_jobflow.declare import registry

Q_CLUSTER = {"name": "shop", "orm": "default", "timeout": 60, "retry": 90}


@contextmanager
def installed(app, label, **more):
    """Have *app* in the project, with the tables that its own migrations make."""
    registered = dict(admin.site._registry)
    _forget_tasks()
    apps = [*settings.INSTALLED_APPS, app]
    # One after the other: an app is imported before the settings beside it are in force.
    with override_settings(**more), override_settings(INSTALLED_APPS=apps):
        executor = MigrationExecutor(connection)
        leaves = [node for node in executor.loader.graph.leaf_nodes() if node[0] == label]
        executor.migrate(leaves)
        yield
    admin.site._registry = registered


def _forget_tasks():
    """Let procrastinate's app begin anew: all apps do when one is installed."""
    if procrastinate_app := sys.modules.get("procrastinate.contrib.django.procrastinate_app"):
        procrastinate_app.current_app = procrastinate_app.FutureApp()


@pytest.fixture(scope="module")
def _unblocked(django_db_setup, django_db_blocker):
    with django_db_blocker.unblock():
        yield


@pytest.fixture(scope="module")
def django_tasks_db(_unblocked):
    pytest.importorskip("django_tasks_db")
    tasks = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend", "QUEUES": []}}
    with installed("django_tasks_db", "django_tasks_database", TASKS=tasks):
        yield


@pytest.fixture(scope="module")
def django_q(_unblocked):
    pytest.importorskip("picklefield")
    with installed("django_q", "django_q", Q_CLUSTER=Q_CLUSTER):
        yield


@pytest.fixture(scope="module")
def procrastinate(_unblocked):
    if connection.vendor != "postgresql":
        pytest.skip("procrastinate wants PostgreSQL.")
    pytest.importorskip("procrastinate")
    with installed("procrastinate.contrib.django", "procrastinate"):
        yield


@pytest.fixture
def declared():
    """Forget afterwards what a test declares."""
    with registry.isolated():
        yield
