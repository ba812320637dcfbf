"""Asking ``manage.py jobflow`` in this process."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command


def ask(*arguments):
    """Return the exit code and what was printed."""
    printed = StringIO()
    code = 0
    try:
        call_command("jobflow", *map(str, arguments), stdout=printed, no_color=True)
    except SystemExit as ended:
        code = ended.code
    return code, printed.getvalue()


def ask_json(*arguments):
    """Return what was printed as JSON, by a command that has done what it was told."""
    code, printed = ask(*arguments, "--json")
    assert 0 == code
    return json.loads(printed)


def refusal(*arguments):
    """Return the exit code and the text of a refusal."""
    with pytest.raises(CommandError) as caught:
        ask(*arguments)
    return caught.value.returncode, str(caught.value)
