"""The layout is the architecture: every import goes downwards.

A room is a module or a package directly inside ``django_jobflow``. It imports rooms of lower
layers, and its peers in one direction only; the stages do not import each other at all.
"""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).parent.parent / "django_jobflow"

LAYERS = {
    0: "exceptions states outcomes backoff conf signals moments events attempts calls quotas "
    "version tracebacks fingerprints history "
    "sentences",
    1: "declare arguments entries endings hooks middleware notices service logs failures search",
    2: "models engines audit",
    3: "enqueue execute settle operate control observe health doctor",
    4: "worker maintain moving bulk",
    5: "apps checks admin templatetags management views testing executors integrations tasks "
    "__init__",
}
LAYERS_OF_STRANGERS = {3}  # whose rooms do not import each other
NOT_ROOMS = {"migrations"}

FORBIDDEN = {
    ("execute", "models"): "a job can be run in a test with no database",
    ("execute", "engines"): "a job can be run in a test with no database",
}
# Allowed inside a function or under TYPE_CHECKING, never at the top of a module.
EXCEPTIONS = {
    ("declare", "enqueue"): "a declared class has its enqueue()",
    ("declare", "models"): "which returns a record",
    ("enqueue", "testing"): "JOBFLOW['INLINE'] executes at once what is stored",
    ("engines", "testing"): "and what follows upon a batch",
    ("models", "observe"): "a record says why it does not run",
    ("models", "engines"): "the verbs of the queryset are spoken by the engine of its database",
}
SETTINGS_READERS = {
    "conf": "it turns JOBFLOW into one value",
    "testing": "a worker process is pointed at the databases of a test",
}
MISPLACED_NAMES = {"utils", "helpers", "common"}

LAYER_OF = {room: layer for layer, rooms in LAYERS.items() for room in rooms.split()}


class Import(NamedTuple):
    """One import of one room by another, and whether it runs with its module."""

    room: str
    imported: str
    is_immediate: bool
    place: str


def modules() -> list[Path]:
    return [
        path for path in sorted(PACKAGE.rglob("*.py")) if room_of(parts_of(path)) not in NOT_ROOMS
    ]


def parts_of(path: Path) -> tuple[str, ...]:
    return path.relative_to(PACKAGE).with_suffix("").parts


def room_of(parts: tuple[str, ...]) -> str:
    return parts[0] if parts else "__init__"


def exists(parts: tuple[str, ...]) -> bool:
    target = PACKAGE.joinpath(*parts)
    return target.is_dir() or target.with_suffix(".py").exists()


def imported_names(node: ast.AST, path: Path) -> list[str]:
    """The absolute dotted names that *node* imports, if it is an import."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    module = node.module or ""
    if node.level:
        package = ("django_jobflow", *parts_of(path))[: -node.level]
        module = ".".join([*package, *filter(None, [module])])
    return [f"{module}.{alias.name}" for alias in node.names]


def imported_room(name: str) -> str | None:
    """The room behind a dotted name; a public name of the package is its ``__init__``."""
    top, *parts = name.split(".")
    if top != "django_jobflow":
        return None
    return room_of(tuple(parts[:1])) if exists(tuple(parts[:1])) else "__init__"


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def walk(node: ast.AST, *, is_immediate: bool = True) -> Iterator[tuple[ast.AST, bool]]:
    """Every node below *node*, and whether it runs when the module is imported."""
    for child in ast.iter_child_nodes(node):
        yield child, is_immediate
        postpones = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        postpones = postpones or is_type_checking(child)
        yield from walk(child, is_immediate=is_immediate and not postpones)


def imports_of(path: Path) -> Iterator[Import]:
    room = room_of(parts_of(path))
    for node, is_immediate in walk(ast.parse(path.read_text())):
        for imported in {imported_room(name) for name in imported_names(node, path)} - {
            None,
            room,
        }:
            place = f"{path.relative_to(PACKAGE.parent)}:{node.lineno}"
            yield Import(room, imported, is_immediate, place)


IMPORTS = [found for path in modules() for found in imports_of(path)]


def is_excepted(found: Import) -> bool:
    return (found.room, found.imported) in EXCEPTIONS and not found.is_immediate


def is_downwards(found: Import) -> bool:
    here, there = LAYER_OF[found.room], LAYER_OF[found.imported]
    return there < here or (there == here and here not in LAYERS_OF_STRANGERS)


def test_every_room_has_a_layer():
    rooms = {room_of(parts_of(path)) for path in modules()}

    assert set() == rooms - set(LAYER_OF)


def test_no_room_is_a_drawer():
    names = {part for path in modules() for part in parts_of(path)}

    assert set() == names & MISPLACED_NAMES


def test_imports_go_downwards():
    upwards = [found for found in IMPORTS if not is_downwards(found) and not is_excepted(found)]

    assert [] == upwards


@pytest.mark.parametrize("layer", LAYERS)
def test_peers_import_each_other_in_one_direction(layer):
    peers = {room: set() for room, its_layer in LAYER_OF.items() if its_layer == layer}
    for found in IMPORTS:
        if found.room in peers and found.imported in peers and not is_excepted(found):
            peers[found.room].add(found.imported)

    try:
        TopologicalSorter(peers).prepare()
    except CycleError as error:
        pytest.fail(f"These rooms import each other in a circle: {error.args[1]}.")


@pytest.mark.parametrize(("room", "imported"), FORBIDDEN)
def test_forbidden_imports_are_absent(room, imported):
    found = [each for each in IMPORTS if (each.room, each.imported) == (room, imported)]

    assert [] == found, FORBIDDEN[room, imported]


@pytest.mark.parametrize("exception", EXCEPTIONS)
def test_exception_is_still_needed(exception):
    assert exception in {(found.room, found.imported) for found in IMPORTS}


def test_settings_of_django_are_read_in_few_rooms():
    readers = {
        room_of(parts_of(path))
        for path in modules()
        for node, _ in walk(ast.parse(path.read_text()))
        if "django.conf.settings" in imported_names(node, path)
    }

    assert set(SETTINGS_READERS) == readers
