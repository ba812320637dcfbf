"""Django's own test modules for tasks: from its source distribution, and read for our backends.

They are fetched by pip into a cache, once for each version, and stay out of the repository. The
backport for Django 5.2 ships no tests, so there those of Django 6.0 are read with its names.
"""

import fcntl
import re
import subprocess
import sys
import tarfile
import tempfile
from functools import cache
from pathlib import Path
from types import ModuleType

import django

REPOSITORY = Path(__file__).parent.parent.parent
CACHE = REPOSITORY / ".tox" / "django-tests"

IS_BACKPORT = django.VERSION < (6, 0)
VERSION = "6.0.10" if IS_BACKPORT else django.__version__
MODULES = ("test_custom_backend", "test_dummy_backend", "test_immediate_backend", "test_tasks")

BACKPORT = {
    "django.tasks": "django_tasks",
    "InvalidTaskBackend": "InvalidTaskBackendError",
    "InvalidTask": "InvalidTaskError",
    "support async Tasks": "support async tasks",
}
"""What the backport calls things, and says."""


class SourcesUnavailable(Exception):
    """The test modules cannot be had; says why."""


@cache
def folder() -> Path:
    """Return the folder of the test modules; fetched if it is not there.

    Raises:
        SourcesUnavailable: It is not there, and cannot be fetched.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    found = CACHE / VERSION
    with (CACHE / f"{VERSION}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the processes of pytest-xdist come here together
        if not found.exists():
            with tempfile.TemporaryDirectory(dir=CACHE) as temporary:
                _fetch(Path(temporary)).rename(found)
    return found


def _fetch(temporary: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    # Of another Python: what runs here is another Django, and of this one only its tests.
    command += ["--ignore-requires-python", "--no-binary", "Django"]
    command += ["--dest", temporary, f"Django=={VERSION}"]
    ended = subprocess.run(command, capture_output=True, text=True)
    archives = list(temporary.glob("*.tar.gz"))
    if not archives:
        raise SourcesUnavailable(
            f"The source distribution of Django {VERSION}, which has Django's own tests, cannot "
            f"be fetched into {CACHE}: {ended.stderr.strip()[-500:]}"
        )
    with tarfile.open(archives[0]) as archive:
        inside = [member for member in archive if "/tests/tasks/" in member.name]
        archive.extractall(temporary, members=inside, filter="data")
    (tasks,) = temporary.glob("*/tests/tasks")
    return tasks


def load(names: dict[str, str]) -> dict[str, ModuleType]:
    """Return the test modules by the names that they have when they are imported.

    Args:
        names: What is read in the place of what, so that other backends are tested.
    """
    loaded = {"tasks": ModuleType("tasks")}
    loaded["tasks"].__path__ = [str(folder())]
    before = {name: sys.modules.get(name) for name in modules()}
    sys.modules |= loaded
    try:
        for name in ("tasks", *MODULES):
            path = folder() / f"{name}.py"
            module = ModuleType(f"tasks.{name}")
            module.__package__, module.__file__ = "tasks", str(path)
            sys.modules[module.__name__] = loaded[module.__name__] = module
            setattr(loaded["tasks"], name, module)
            exec(compile(_read(path, names), str(path), "exec"), vars(module))
    finally:
        for name in modules():
            sys.modules.pop(name, None)
        sys.modules |= {name: module for name, module in before.items() if module is not None}
    return loaded


def modules() -> list[str]:
    return ["tasks", *(f"tasks.{name}" for name in ("tasks", *MODULES))]


def _read(path: Path, names: dict[str, str]) -> str:
    text = path.read_text()
    if IS_BACKPORT:
        text = replaced(text, BACKPORT)
        names = {replaced(k, BACKPORT): replaced(v, BACKPORT) for k, v in names.items()}
    return replaced(text, names)


def replaced(text: str, names: dict[str, str]) -> str:
    """Return *text* with other *names*, in which each stands for itself and what is below it."""
    for name, into in names.items():
        text = re.sub(rf"\b{re.escape(name)}\b", into, text)
    return text
