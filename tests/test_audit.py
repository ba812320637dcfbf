"""What the package never does, read from its code: unpickle, evaluate, or import by a name."""

import ast
import re
from pathlib import Path

import pytest

import django_jobflow

PACKAGE = Path(django_jobflow.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))
TEMPLATES = sorted(PACKAGE.rglob("*.html"))

CODE_FROM_DATA = {"pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "code", "codeop"}
EVALUATING = {"eval", "exec", "compile", "__import__"}
IMPORTING = {"import_module", "import_string", "find_spec", "spec_from_file_location", "run_path"}
ALLOWED_CALLS = {
    ("arguments/enums.py", "importlib.import_module"): "of a module that is imported already",
    ("middleware.py", "import_string"): "of what the project's settings name",
    ("worker/remote/making.py", "import_string"): "of what the project's settings name",
    ("tasks/declaring.py", "import_string"): "of a task that a pickle names, which imports anyway",
    ("health/asking.py", "import_module"): "of the package's own migrations",
    ("tasks/resolving.py", "importlib.import_module"): "where tasks may be, for one that is there",
}
UNESCAPED = {"mark_safe", "SafeText", "format_html", "format_html_join", "safestring.SafeString"}


def name(path):
    return path.relative_to(PACKAGE).as_posix()


def calls(tree):
    """Yield what *tree* calls, as it is written there."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


def imports(tree):
    """Yield the modules and the names that *tree* imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("path", SOURCES, ids=name)
class SourceTests:
    def test_nothing_is_made_of_data_but_data(self, path):
        found = {each.partition(".")[0] for each in imports(ast.parse(path.read_text()))}

        assert set() == found & CODE_FROM_DATA

    def test_nothing_is_evaluated_or_imported_by_a_name(self, path):
        found = {
            call
            for call in calls(ast.parse(path.read_text()))
            if call in EVALUATING or call.rpartition(".")[2] in IMPORTING
        }

        assert found <= {call for place, call in ALLOWED_CALLS if place == name(path)}

    def test_no_text_is_called_safe(self, path):
        tree = ast.parse(path.read_text())

        assert set() == UNESCAPED & ({*calls(tree)} | {*imports(tree)} - {"SafeString"})

    def test_no_traceback_is_made_with_local_variables(self, path):
        assert "capture_locals" not in path.read_text()


@pytest.mark.parametrize("path", TEMPLATES, ids=name)
class TemplateTests:
    def test_everything_is_escaped(self, path):
        assert [] == re.findall(r"\|\s*safe|autoescape|safeseq", path.read_text())

    def test_no_value_stands_in_a_script_or_a_style(self, path):
        """There, escaping for HTML would not be enough."""
        assert [] == re.findall(r"<script|<style|\son\w+=|\sstyle=", path.read_text())

    def test_every_attribute_is_quoted(self, path):
        assert [] == re.findall(r"=\s*\{\{", path.read_text())


def test_allowed_calls_are_there():
    for place, call in ALLOWED_CALLS:
        assert call in calls(ast.parse((PACKAGE / place).read_text()))
