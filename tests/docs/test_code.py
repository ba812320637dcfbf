"""Every block of Python on the pages is run, and every command line is understood."""

import inspect
import re
import shlex
import sys
from datetime import timedelta
from pathlib import Path
from types import ModuleType

import pytest
from django.core.management import get_commands, load_command_class

from django_jobflow import conf
from django_jobflow.declare import registry
from django_jobflow.models import JobRecord, SucceededJob
from tests.app.models import Order
from tests.docs.pages import PAGES, blocks, python_blocks, shell_lines, title

MARKS = r"settings|not run: .{10,}"
WITH_PYTHON = [page for page in PAGES if python_blocks(page)]


@pytest.fixture
def modules(monkeypatch):
    """Return the module of a dotted name; ``shop.models`` is there already."""
    made = {}

    def module_of(name):
        parent, _, last = name.rpartition(".")
        if name not in made:
            made[name] = ModuleType(name)
            made[name].__path__ = []
            monkeypatch.setitem(sys.modules, name, made[name])
            if parent:
                setattr(module_of(parent), last, made[name])
        return made[name]

    module_of("shop.models").Order = Order
    with registry.isolated():
        yield module_of


@pytest.fixture
def run(modules, request):
    """Run a block, and what it declares as tests."""
    namespace = {"__name__": "page"}

    def run_block(block):
        scope = vars(modules(block.module)) if block.module else namespace
        before = set(scope)
        exec(compile(block.padded, str(block.page), "exec"), scope)
        for name in scope.keys() - before:
            if name.startswith("test_"):
                wanted = inspect.signature(scope[name]).parameters
                scope[name](**{each: request.getfixturevalue(each) for each in wanted})
                if "db" in wanted:  # the next one begins without its jobs
                    JobRecord.objects.all().delete()
                    SucceededJob.objects.all().delete()

    return run_block


class PythonTests:
    @pytest.mark.django_db
    @pytest.mark.parametrize("page", WITH_PYTHON, ids=title)
    def test_blocks_of_the_page_run(self, page, run):
        for block in python_blocks(page):
            if not block.mark:
                run(block)

    @pytest.mark.parametrize("page", WITH_PYTHON, ids=title)
    def test_settings_are_right(self, page, monkeypatch):
        for block in python_blocks(page):
            if block.mark == "settings":
                scope = {"BASE_DIR": Path("/"), "timedelta": timedelta}
                exec(compile(block.padded, str(page), "exec"), scope)
                aliases = list(scope.get("DATABASES", ["default"]))
                monkeypatch.setattr(conf, "database_aliases", lambda found=aliases: found)
                assert [] == conf.problems(scope.get("JOBFLOW", {}))

    @pytest.mark.parametrize("page", WITH_PYTHON, ids=title)
    def test_block_that_is_not_run_is_python_and_says_why(self, page):
        for block in python_blocks(page):
            compile(block.padded, str(page), "exec")
            assert re.fullmatch(MARKS, block.mark or "settings"), f"{title(page)}: {block.mark!r}"

    @pytest.mark.parametrize("page", PAGES, ids=title)
    def test_every_block_has_a_language(self, page):
        assert [] == [block.line for block in blocks(page) if not block.language]


class CommandTests:
    @pytest.mark.parametrize("page", PAGES, ids=title)
    def test_commands_of_the_package_take_these_options(self, page):
        for line in shell_lines(page):
            words = shlex.split(line, comments=True)
            if "manage.py" not in words:
                continue
            name, *options = words[words.index("manage.py") + 1 :]
            if get_commands().get(name) == "django_jobflow":
                command = load_command_class("django_jobflow", name)
                command.create_parser("manage.py", name).parse_args(options)
