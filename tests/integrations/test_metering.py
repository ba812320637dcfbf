"""Counts of several processes that add up, also of those that have ended."""

import json
import os

import pytest

from django_jobflow.integrations import metering
from django_jobflow.integrations.metering import BOUNDS, Tally

KEY = ("shop.send", "email", "succeeded")
DEAD = 2**22 + 1  # above the highest number of a process on Linux


@pytest.fixture
def leave(tmp_path):
    """Leave the file of a process that has executed one body of so many seconds."""

    def write(pid, seconds, name=KEY[0]):
        tally = Tally()
        tally.add((name, *KEY[1:]), seconds, 0.0)
        path = tmp_path / f"{pid}-{len(list(tmp_path.iterdir()))}.json"
        path.write_text(json.dumps(tally.written()))
        return path

    return write


def test_each_body_is_in_the_bucket_of_its_time():
    tally = Tally()
    for seconds in (0.005, 0.006, 2000):
        tally.add(KEY, seconds, 0.0)

    counts, seconds = tally.ran[KEY]

    assert [1, 1, *[0] * (len(BOUNDS) - 2), 1] == counts
    assert pytest.approx(2000.011) == seconds


def test_counts_of_all_processes_are_added_up(leave, tmp_path):
    leave(os.getpid(), 1)
    leave(os.getppid(), 2)
    leave(DEAD, 4, name="shop.other")

    found = metering.total(tmp_path)

    assert {KEY: 3, ("shop.other", *KEY[1:]): 4} == {
        key: seconds for key, (_, seconds) in found.ran.items()
    }


def test_many_files_of_the_dead_are_put_together(leave, tmp_path, monkeypatch):
    monkeypatch.setattr(metering, "MOST_FILES", 3)
    living = leave(os.getpid(), 1)
    for _ in range(4):
        leave(DEAD, 1)

    metering.put_together(tmp_path)

    [together] = set(tmp_path.glob("*.json")) - {living}
    assert 5 == metering.total(tmp_path).ran[KEY][1]
    assert together.name.startswith("0-")


def test_one_that_died_while_it_put_them_together_counts_nothing_twice(
    leave, tmp_path, monkeypatch
):
    monkeypatch.setattr(metering, "MOST_FILES", 1)
    monkeypatch.setattr(type(tmp_path), "unlink", lambda self, missing_ok: None)
    for _ in range(3):
        leave(DEAD, 1)

    metering.put_together(tmp_path)

    assert 4 == len(list(tmp_path.glob("*.json")))
    assert 3 == metering.total(tmp_path).ran[KEY][1]
