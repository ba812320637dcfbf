"""``manage.py jobflow … | head``: who reads what it prints may have seen enough."""

import os
from contextlib import contextmanager

import pytest
from django.core.management import call_command

from tests.factories import JobRecordFactory

pytestmark = pytest.mark.django_db


@contextmanager
def closed_pipe():
    """Yield a file whose other end nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w", buffering=256) as pipe:  # to close it writes what is left
        yield pipe


@pytest.mark.parametrize("jobs", [0, 40])  # what fits into the buffer, and what does not
def test_command_that_nobody_reads_ends_silently(jobs, capfd):
    JobRecordFactory.create_batch(jobs)

    with closed_pipe() as pipe, pytest.raises(SystemExit) as ended:
        call_command("jobflow", "list", stdout=pipe, no_color=True)

    assert 128 + 13 == ended.value.code
    assert ("", "") == capfd.readouterr()
