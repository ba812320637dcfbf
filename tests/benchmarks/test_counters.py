"""Bodies are counted across threads and processes."""

import os
import threading

import pytest

from benchmarks import counters
from benchmarks.counters import Counters


@pytest.fixture
def counting(tmp_path, monkeypatch):
    counting = Counters(tmp_path / "counters")
    monkeypatch.setenv(counters.PATH, str(counting.path))
    counters._forget_slot()
    yield counting
    counters._forget_slot()


def test_nothing_has_run_at_first(counting):
    assert (0, 0.0) == (counting.tally().count, counting.tally().rate)


def test_every_body_of_every_thread_is_counted(counting):
    threads = [
        threading.Thread(target=lambda: [counters.bump() for _ in range(1000)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 4000 == counting.tally().count


def test_process_that_was_forked_has_a_slot_of_its_own(counting):
    counters.bump()
    if (child := os.fork()) == 0:
        counters.bump()
        os._exit(0)
    os.waitpid(child, 0)

    assert 2 == counting.tally().count
    assert 2 == sum(1 for head in counting.numbers[:: counters.HEAD + counters.SAMPLES] if head)


def test_samples_say_how_long_ago_a_moment_was(counting):
    counters.stamp(0)

    (sample,) = counting.samples()
    assert sample > 0
