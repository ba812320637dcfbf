"""An enqueue takes what ``perform`` takes, as type checkers see it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CASES = Path(__file__).parent / "cases.py"
CONFIGURATION = """[mypy]
plugins = mypy_django_plugin.main
strict = true
[mypy.plugins.django-stubs]
django_settings_module = tests.settings
"""


def test_mypy_finds_what_is_wrong_and_nothing_else(tmp_path):
    pytest.importorskip("mypy")
    (tmp_path / "mypy.ini").write_text(CONFIGURATION)
    shutil.copy(CASES, tmp_path / "cases_of_typing.py")

    ended = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--follow-imports=silent", "--no-error-summary"),
            *("--config-file", tmp_path / "mypy.ini", tmp_path / "cases_of_typing.py"),
        ],
        cwd=CASES.parent.parent.parent,
        capture_output=True,
        text=True,
    )

    assert wrong_lines() == lines_in(ended.stdout, r"\.py:(\d+): error"), ended


def test_pyright_finds_what_is_wrong_and_nothing_else():
    pytest.importorskip("basedpyright")

    ended = subprocess.run(
        [
            *(sys.executable, "-m", "basedpyright", "--level", "error"),
            *("--pythonpath", sys.executable, CASES),
        ],
        cwd=CASES.parent.parent.parent,
        capture_output=True,
        text=True,
    )

    assert wrong_lines() == lines_in(ended.stdout, r"\.py:(\d+):\d+ - error"), ended


def wrong_lines():
    lines = CASES.read_text().splitlines()
    return [number for number, line in enumerate(lines, 1) if line.endswith("# wrong")]


def lines_in(text, pattern):
    return sorted({int(each) for each in re.findall(pattern, text)})
