"""The documentation is built without a warning, and says what the code says."""

import ast
import fcntl
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management.base import CommandParser
from django.dispatch import Signal

import django_jobflow
from django_jobflow import (
    checks,
    conf,
    control,
    observe,
    operate,
    outcomes,
    signals,
    states,
    testing,
)
from django_jobflow.declare import call_options, options
from django_jobflow.health import Finding, Health, Limits, Seen
from django_jobflow.management.subcommands import SUBCOMMANDS
from django_jobflow.models import Batch, JobRecord, SucceededJob, Worker
from django_jobflow.tasks import JobflowBackend
from django_jobflow.tasks.checking import check_backend
from django_jobflow.tasks.options import CALLED, DECLARED
from django_jobflow.testing import factories
from django_jobflow.views import HealthView
from tests.docs.pages import DOCS, REPOSITORY

pytest.importorskip("furo", reason="The packages that build the documentation are not installed.")
bs4 = pytest.importorskip("bs4")

PACKAGE = Path(django_jobflow.__file__).parent
SETTINGS = {"DJANGO_SETTINGS_MODULE", "DATABASE_URL"}


@pytest.fixture(scope="module")
def built(tmp_path_factory, worker_id):
    """The folder of the built pages; the processes of pytest-xdist share one.

    ``JOBFLOW_TEST_DOCS`` names one in which they have just been built without a warning.
    """
    if given := os.environ.get("JOBFLOW_TEST_DOCS"):
        return Path(given)
    own = tmp_path_factory.getbasetemp()
    folder = (own if worker_id == "master" else own.parent) / "docs"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            build(folder / "html")
            (folder / "done").touch()
    return folder / "html"


def build(folder):
    """Build the pages as a stranger does: with no settings of these tests."""
    ended = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", DOCS, folder],
        cwd=REPOSITORY,
        env={key: os.environ[key] for key in os.environ if key not in SETTINGS},
        capture_output=True,
        text=True,
    )
    assert (0, "") == (ended.returncode, ended.stderr)


@pytest.fixture
def page(built):
    def read(name):
        return bs4.BeautifulSoup((built / f"{name}.html").read_text(), "html.parser")

    return read


def rows(page, identifier):
    """The cells of a table, without its head."""
    table = page.find(id=identifier)
    return [[cell.get_text() for cell in row.find_all("td")] for row in table.tbody.find_all("tr")]


def firsts(page, identifier):
    return [row[0] for row in rows(page, identifier)]


def words(some):
    return [state.value for state in states.JobState if state in some]


class LifeTests:
    @pytest.fixture
    def life(self, page):
        return page("explanation/life-of-a-job")

    def test_table_of_moves_is_the_one_of_the_code(self, life):
        expected = [
            [
                move.verb,
                ", ".join(words(move.origins)) or "(no row)",
                ", ".join(words(move.targets)) or "(SucceededJob)",
                move.by,
                move.changes,
            ]
            for move in states.TRANSITIONS.values()
        ]

        assert expected == rows(life, "transitions")

    def test_every_state_is_explained(self, life):
        table = life.find("table")

        found = [row.find("td").get_text() for row in table.tbody.find_all("tr")]
        assert set(states.JobState) == set(found)

    def test_every_verb_is_told_of(self, life):
        told = {strong.get_text() for strong in life.find_all("strong")}
        aliases = {"postpone": "postponed", "refuse": "refused", "rescue": "rescues"}
        aliases |= {"lose": "lost"}

        assert set() == {aliases.get(verb, verb) for verb in states.TRANSITIONS} - told

    def test_diagram_shows_every_state(self, life):
        drawn = {shape["data-state"] for shape in life.select("[data-state]")}

        assert set(states.JobState) == drawn

    def test_diagram_shows_every_move(self, life):
        groups = {
            "START": [None],
            "SUCCEEDED": [None],
            "UNFINISHED": states.UNFINISHED,
            "PENDING": states.PENDING,
            "READY": ["AVAILABLE", "WAITING"],
            "HELD": states.HELD,
            "ENDED": states.ENDED,
        }
        drawn = {
            (verb, origin, target)
            for arrow in life.select("[data-verbs]")
            for verb in arrow["data-verbs"].split()
            for origin in groups.get(arrow["data-from"], [arrow["data-from"]])
            for target in groups.get(arrow["data-to"], [arrow["data-to"]])
        }

        moves = {
            (move.verb, origin, target)
            for move in states.TRANSITIONS.values()
            for origin in move.origins or [None]
            for target in move.targets or [None]
        }
        # What stays in its frame.
        inside = {move for move in moves if move[0] in {"replace", "rekey"}}
        assert moves - inside == drawn - inside

    def test_every_arrow_has_its_route(self, life, monkeypatch):
        monkeypatch.syspath_prepend(DOCS / "_ext")
        import diagram

        assert set(diagram.edges()) == set(diagram.ROUTES)


class ReferenceTests:
    def test_options_of_a_job(self, page):
        assert list(options.NAMES) == firsts(page("reference/declaring"), "job-options")

    def test_options_of_a_call(self, page):
        found = firsts(page("reference/enqueueing"), "call-options")

        assert list(call_options.READERS) == found

    def test_settings(self, page):
        headings = page("reference/settings").find_all("h3")

        assert list(conf.NAMES) == [heading.code.get_text() for heading in headings]

    @pytest.mark.parametrize(
        ("model", "table"),
        [
            (JobRecord, "record-fields"),
            (SucceededJob, "succeeded-fields"),
            (Worker, "worker-fields"),
            (Batch, "batch-fields"),
        ],
    )
    def test_fields(self, page, model, table):
        found = firsts(page("reference/models"), table)

        assert [field.attname for field in model._meta.concrete_fields] == found

    def test_sets_of_states(self, page):
        for name, listed, _ in rows(page("reference/states"), "state-sets"):
            assert ", ".join(words(getattr(states, name))) == listed

        named = {name for name, value in vars(states).items() if isinstance(value, frozenset)}
        assert named == set(firsts(page("reference/states"), "state-sets"))

    def test_signals(self, page):
        table = page("reference/signals").find("table")
        found = [row.find("td").get_text() for row in table.tbody.find_all("tr")]

        assert [
            name for name, value in vars(signals).items() if isinstance(value, Signal)
        ] == found

    def test_public_names(self, page):
        pages = ["declaring", "exceptions", "outcomes", "states"]
        found = {each.get("id") for name in pages for each in page(f"reference/{name}")("dt")}

        names = {f"django_jobflow.{name}" for name in django_jobflow.__all__}
        assert {"django_jobflow.__version__"} == names - found

    def test_verbs_of_an_operator(self, page):
        pages = ["control", "models"]
        found = {each.get("id") for name in pages for each in page(f"reference/{name}")("dt")}

        controls = {f"django_jobflow.control.{name}" for name in control.__all__}
        verbs = [name for name in vars(operate) if name.endswith("_many")]
        many = {f"django_jobflow.operate.{name}" for name in verbs}
        assert set() == (controls | many) - found


class CommandTests:
    @pytest.mark.parametrize("subcommand", SUBCOMMANDS, ids=lambda each: each.name)
    def test_options_of_the_subcommand(self, page, subcommand):
        parser = CommandParser()
        subcommand.add_arguments(parser)
        known = [(action.option_strings or [action.metavar])[-1] for action in parser._actions]

        found = firsts(page("reference/commands"), f"{subcommand.name}-options")

        assert ["--help", *[option.split()[0] for option in found]] == known


class TestingTests:
    def test_every_name_is_on_the_page(self, page):
        found = {each.get("id") for each in page("reference/testing")("dt")}

        names = {f"django_jobflow.testing.{name}" for name in testing.__all__}
        elsewhere = {*vars(outcomes)} | {"Jobflow"}
        missing = {name.rpartition(".")[2] for name in names - found} - elsewhere
        assert {name for name in testing.__all__ if name[1:] in testing.__all__} == missing

    def test_factories(self, page):
        found = {each.get("id") for each in page("reference/testing")("dt")}

        made = [name for name in vars(factories) if name.endswith("Factory") and name[0] != "D"]
        assert set() == {f"{factories.__name__}.{name}" for name in made} - found


class InspectingTests:
    def test_every_cause_has_its_line(self, page):
        assert list(observe.Cause) == firsts(page("reference/inspecting"), "causes")


class HealthTests:
    @pytest.fixture
    def health(self, page):
        return page("reference/health")

    def test_findings(self, health):
        assert list(Finding) == firsts(health, "findings")

    def test_keys_of_the_json(self, health):
        seen = Seen(alive=1, silent=0, youngest_beat=1, oldest_beat=1, waits={"*": 1})
        healthy = Health(database="default", limits=Limits(), facts=(), seen=seen)

        table = rows(health, "health-keys")

        assert list(keys_of(healthy.report())) == [key for key, _, _ in table]
        assert list(keys_of(healthy.summary())) == [key for key, _, told in table if told == "yes"]

    def test_arguments_of_the_view(self, health):
        arguments = HealthView.__annotations__

        assert list(arguments) == firsts(health, "health-view")
        told = re.findall(r"^    (\w+): ", inspect.getdoc(HealthView) or "", re.MULTILINE)
        assert set(arguments) == set(told)


def keys_of(some, before=""):
    """Return the keys of an object, each followed by those of what it holds."""
    for key, value in some.items():
        if key != "*":
            yield f"{before}{key}"
        if isinstance(value, dict):
            yield from keys_of(value, f"{before}{key}.")


class ChecksTests:
    @pytest.fixture
    def table(self, page):
        return {row[0]: row[1:] for row in rows(page("reference/checks"), "checks")}

    def test_every_check_is_in_the_table(self, table):
        sources = [Path(checks.__file__), PACKAGE / "tasks" / "checking.py"]
        found = [re.findall(r"\bjobflow\.[EW]\d{3}\b", each.read_text()) for each in sources]
        ids = [each for some in found for each in some]

        assert sorted(set(ids)) == list(table)

    def test_every_check_has_its_number_in_a_docstring(self, table):
        functions = [*checks.ALWAYS, checks.check_sqlite_journal, checks.check_inline]
        functions += [check_backend]

        numbers = [
            number for each in functions for number in re.findall(r"[EW]\d{3}", each.__doc__)
        ]
        assert sorted(f"jobflow.{number}" for number in numbers) == list(table)

    def test_every_check_has_a_way_out(self, table):
        assert [] == [number for number, (wrong, todo) in table.items() if not wrong or not todo]


class TasksTests:
    @pytest.fixture
    def reference(self, page):
        return page("reference/django-tasks")

    def test_flags(self, reference):
        flags = [name for name in vars(JobflowBackend) if name.startswith("supports_")]

        expected = [[name, str(getattr(JobflowBackend, name))] for name in flags]
        assert expected == rows(reference, "supports")

    def test_options(self, reference):
        table = reference.find(id="declared-options")
        found = [[each.get_text() for each in row("code")] for row in table.tbody("tr")]

        assert [sorted(DECLARED), sorted(CALLED)] == [sorted(found[0]), sorted(found[1])]


class LogEventTests:
    def test_every_event_is_in_the_table(self, page):
        written = {
            event
            for path in PACKAGE.rglob("*.py")
            for event in filter(None, events_of(ast.parse(path.read_text())))
        }

        assert sorted(written) == sorted(firsts(page("reference/log-events"), "log-events"))


def events_of(tree):
    """The words that *tree* writes to the log, or hands on to be written there."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name.endswith((".log", "._log", "_ended")):
                yield from filter(is_event, map(constant, node.args))
            if name == "logger.exception":
                yield constant(node.args[0]).split()[0]
            yield from (constant(each.value) for each in node.keywords if each.arg == "event")
        elif isinstance(node, ast.For) and "event" in ast.unparse(node.target):
            yield from filter(is_event, map(constant, ast.walk(node.iter)))
        elif isinstance(node, ast.Dict):
            items = zip(node.keys, node.values, strict=True)
            yield from (constant(value) for key, value in items if constant(key) == "event")


def constant(node):
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def is_event(word):
    return re.fullmatch(r"[a-z]+(_[a-z]+)+", word) is not None
