"""The page for those who come from another system: each row has a test, and it exists."""

import ast
import re

import pytest

from tests.docs.pages import DOCS, REPOSITORY

PAGE = DOCS / "reference" / "four-systems.md"
TABLE = re.compile(r"^\{#(?P<name>[\w-]+)\}\n(?P<lines>(?:\|.*\n)+)", re.MULTILINE)
WITHOUT_TEST = ("Comes with flows.", "Comes with periodic jobs.", "Not here: ")
SYSTEMS = ("ectojob", "bg-jobs", "roger", "pgflow")


def tables():
    """The rows of each table, without its heads."""
    found = {}
    for table in TABLE.finditer(PAGE.read_text()):
        lines = table["lines"].splitlines()[2:]
        found[table["name"]] = [
            [cell.strip() for cell in line.strip("|").split(" |")] for line in lines
        ]
    return found


ROWS = [(name, row) for name, rows in tables().items() for row in rows]


def exists(test):
    """Say whether a test of this name is in the file that it names."""
    path, *names = test.split("::")
    body = ast.parse((REPOSITORY / "tests" / path).read_text()).body
    for name in names:
        found = [node for node in body if getattr(node, "name", None) == name]
        if not found:
            return False
        body = found[0].body
    return names[-1].startswith("test_")


@pytest.mark.parametrize(
    ("table", "row"), ROWS, ids=[f"{name}-{row[0]}".replace("`", "") for name, row in ROWS]
)
def test_row_has_a_test_or_a_reason(table, row):
    _there, here, shown = row

    if shown:
        assert exists(shown.strip("`")), shown
    else:
        assert here.startswith(WITHOUT_TEST), row


def test_each_system_has_what_it_does_and_what_is_wrong_with_it():
    names = [name for system in SYSTEMS for name in (system, f"{system}-defects")]

    assert ["features", *names] == list(tables())
    assert all(len(rows) > 9 for rows in tables().values())


@pytest.mark.parametrize("system", SYSTEMS)
def test_each_test_of_a_system_is_named(system):
    module = f"test_{system.replace('-', '_')}.py"
    tree = ast.parse((REPOSITORY / "tests" / "four_systems" / module).read_text())
    written = {
        f"four_systems/{module}::{node.name}::{each.name}"
        for node in tree.body
        if isinstance(node, ast.ClassDef)
        for each in node.body
        if isinstance(each, ast.FunctionDef) and each.name.startswith("test_")
    }

    assert set() == written - {row[2].strip("`") for _, row in ROWS}
