"""What every test may ask for, and the databases under all of them.

``JOBFLOW_TEST_LEFT_OUT_BY`` names a database: what is not run on it is run, and nothing else.
``JOBFLOW_TEST_REQUIRE``, a list of ``postgresql``, ``mariadb``, ``browser`` and ``django-tests``
(Django's own tests, which are fetched), names what must be there: where it is not, the tests fail
instead of being skipped.
"""

import json
import os
import shutil
from pathlib import Path

import environ
import hypothesis
import pytest
from django.db import connections
from django.test import SimpleTestCase

from catalogues.building import compile_catalogues
from django_jobflow.worker.processes import cores
from tests import databases, emptying, servers

pytest_plugins = ["pytest_django_jobflow"]  # also where the package is not installed

# Tells the processes of pytest-xdist why there is no database.
UNAVAILABLE = "JOBFLOW_TEST_UNAVAILABLE"
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
# Slow, and alike on every database, although they have one.
DATABASE_MATTERS_NOT = {
    "docs",
    "example",
    "integrations",
    "test_catalogues.py",
    "test_packaging.py",
}
# Here only tests that ask for a database get one: pytest-django keeps all others from it.
PURE = {
    "arguments",
    "declare",
    "search",
    "moving/test_pickled.py",
    "tasks/test_declaring.py",
    "test_audit.py",
    "test_backoff.py",
    "test_conf.py",
    "test_exceptions.py",
    "test_failures.py",
    "test_fingerprints.py",
    "test_history.py",
    "test_layers.py",
    "test_moments.py",
    "test_outcomes.py",
    "test_public.py",
    "test_states.py",
    "test_tracebacks.py",
    "testing/test_session.py",
    "typing",
    "worker/test_logbook.py",
    "worker/test_parts.py",
    "worker/test_vitals.py",
}
DATABASE_FIXTURES = {"db", "transactional_db"}  # all others of pytest-django use one of these
REPOSITORY = Path(__file__).parent.parent

env = environ.Env()

hypothesis.settings.register_profile("jobflow", deadline=None)  # a busy machine is no failure
hypothesis.settings.load_profile("jobflow")

database_version = pytest.StashKey[str]()


def is_required(resource: str) -> bool:
    """Whether a test that needs *resource* has to fail without it."""
    return resource in env.list("JOBFLOW_TEST_REQUIRE", default=[])


def pytest_configure(config: pytest.Config) -> None:
    emptying.install()
    if hasattr(config, "workerinput"):
        return  # the process that started this one has seen to it
    compile_catalogues(REPOSITORY)
    try:
        config.stash[database_version] = prepare_database(config)
    except servers.ServerUnavailable as error:
        if is_required(databases.kind()):
            raise pytest.UsageError(str(error)) from error
        config.stash[database_version] = os.environ[UNAVAILABLE] = str(error)


def prepare_database(config: pytest.Config) -> str:
    """Start the server if it is ours to start, and ask whichever it is for its version."""
    databases.run_directory().mkdir(mode=0o700)
    config.add_cleanup(lambda: shutil.rmtree(databases.run_directory()))
    if databases.needs_own_server():
        server = servers.PostgresqlServer(databases.server_directory())
        server.start()
        config.add_cleanup(server.stop)
    return servers.VERSIONS[databases.kind()](databases.url())


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Three processes a core: most of the time a test waits for a server or another process."""
    return min(3 * cores(), 8)


def pytest_report_header(config: pytest.Config) -> list[str]:
    if hasattr(config, "workerinput"):
        return []
    return [f"database: {config.stash[database_version]}"]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if reason := os.environ.get(UNAVAILABLE):
        for item in items:
            item.add_marker(pytest.mark.skip(reason=reason))
    other = env.str("JOBFLOW_TEST_LEFT_OUT_BY", default="")
    if other not in {"", *databases.KINDS}:
        expected = ", ".join(databases.KINDS)
        raise pytest.UsageError(
            f"JOBFLOW_TEST_LEFT_OUT_BY: expected one of {expected}, got {other!r}."
        )
    kept: list[pytest.Item] = []
    dropped: list[pytest.Item] = []
    for item in items:
        is_wanted = is_left_out(item, other or databases.kind()) == bool(other)
        (kept if is_wanted else dropped).append(item)
    config.hook.pytest_deselected(items=dropped)
    items[:] = kept


def is_left_out(item: pytest.Item, kind: str) -> bool:
    """Whether *item* passes on a database of that *kind* as it does on another."""
    if kind == "sqlite":
        return False
    path = item.path.relative_to(REPOSITORY / "tests")
    if path.parts[0] in DATABASE_MATTERS_NOT:
        return True
    if kind == "postgresql" and "chromium" in getattr(item, "fixturenames", ()):
        return True  # a browser sees what it has seen on another; the tests without one stay
    if path.parts[0] == "remote" and kind == "mariadb":
        return True  # one server that others connect to is enough: a cluster takes minutes
    return bool({path.parts[0], path.as_posix()} & PURE) and not asks_for_database(item)


def asks_for_database(item: pytest.Item) -> bool:
    """Whether *item* is let near a database."""
    case = getattr(item, "cls", None)
    return (
        item.get_closest_marker("django_db") is not None
        or not DATABASE_FIXTURES.isdisjoint(getattr(item, "fixturenames", ()))
        or (case is not None and issubclass(case, SimpleTestCase) and bool(case.databases))
    )


@pytest.fixture
def worker_env(transactional_db: None) -> dict[str, str]:
    """The environment of a process that works on the test's own databases.

    A worker is started by ``[sys.executable, "-m", "django", "runjobs", ...]``. Its ``JOBFLOW`` is
    what the key ``JOBFLOW_TEST_SETTINGS`` says, as JSON.
    """
    names = {alias: str(connections[alias].settings_dict["NAME"]) for alias in connections}
    path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
    return os.environ | {
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "PYTHONPATH": path,
        databases.DATABASE_NAMES: json.dumps(names),
    }


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium, from ``JOBFLOW_TEST_CHROMIUM`` or the PATH."""
    candidates = [os.environ.get("JOBFLOW_TEST_CHROMIUM", ""), *CHROMIUM_NAMES]
    if found := next(filter(None, map(shutil.which, candidates)), None):
        return found
    give_up = pytest.fail if is_required("browser") else pytest.skip
    give_up("There is no Chromium. Install it, or name it in JOBFLOW_TEST_CHROMIUM.")
