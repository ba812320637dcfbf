from datetime import timedelta

import pytest

from django_jobflow.engines.surveying import Delays
from django_jobflow.engines.workers import Beat
from django_jobflow.health import Fact, Finding, Limits, Seen
from django_jobflow.health.judging import judge, see, shown
from django_jobflow.service import Service

NO_PAUSE = frozenset()
NOTHING = Delays(overdue=None, lapsed=None)
C = Service(queues=("c",))
LIMITS = Limits(max_wait=timedelta(seconds=60), max_beat=timedelta(seconds=30))
IDLE = Seen(alive=1, silent=0, youngest_beat=2.0, oldest_beat=2.0)


def seen(**facts):
    values = {"alive": 1, "silent": 0, "youngest_beat": 2.0, "oldest_beat": 2.0} | facts
    return Seen(**values)


def fact(subject, seen, **limits):
    """Return what is said of *subject*."""
    values = {"max_wait": timedelta(seconds=60), "max_beat": timedelta(seconds=30)} | limits
    [found] = [each for each in judge(seen, Limits(**values)) if each.subject == subject]
    return found


class SeeTests:
    def test_workers_are_alive_or_silent_by_their_last_beat(self):
        beats = [Beat(3.0), Beat(1.0), Beat(29.9), Beat(30.0), Beat(500.0)]

        assert Seen(alive=3, silent=2, youngest_beat=1.0, oldest_beat=29.9) == see(
            beats, {}, NO_PAUSE, NOTHING, LIMITS
        )

    def test_nobody_is_there(self):
        assert Seen(alive=0, silent=0, youngest_beat=None, oldest_beat=None) == see(
            [], {}, NO_PAUSE, NOTHING, LIMITS
        )

    def test_worker_that_is_silent_still_has_a_last_beat(self):
        assert Seen(alive=0, silent=1, youngest_beat=500.0, oldest_beat=None) == see(
            [Beat(500.0)], {}, NO_PAUSE, NOTHING, LIMITS
        )

    def test_delays_and_waits_are_taken_over(self):
        waits = {("a", ""): 5.0, ("b", ""): 7.0, ("b", "x"): 6.0}
        found = see([Beat(2.0)], waits, NO_PAUSE, Delays(overdue=3.0, lapsed=4.0), LIMITS)

        assert seen(waits={"a": 5.0, "b": 7.0}, overdue=3.0, lapsed=4.0) == found
        assert 7.0 == found.oldest_waiting

    def test_queue_is_unserved_when_no_living_worker_names_it(self):
        beats = [
            Beat(1.0, Service(queues=("a", "b"))),
            Beat(500.0, C),
            Beat(500.0),
        ]

        waits = {(queue, ""): 1.0 for queue in "acd"}
        found = see(beats, waits, NO_PAUSE, NOTHING, LIMITS)

        assert {"c": None, "d": None} == found.unserved

    def test_partition_is_unserved_when_no_living_worker_of_its_queue_names_it(self):
        beats = [
            Beat(1.0, Service(queues=("a",), partitions=("x",))),
            Beat(1.0, Service(queues=("b",))),
            Beat(500.0),
        ]
        waits = {(queue, partition): 1.0 for queue in "abc" for partition in ("", "x", "y")}

        found = see(beats, waits, NO_PAUSE, NOTHING, LIMITS)

        assert {"a": ("", "y"), "c": None} == found.unserved

    def test_worker_does_not_serve_what_it_excludes(self):
        beats = [Beat(1.0, Service(excluded=("a",)))]

        found = see(beats, {("a", ""): 1.0, ("b", ""): 1.0}, NO_PAUSE, NOTHING, LIMITS)

        assert {"a": None} == found.unserved

    def test_what_is_paused_is_neither_waiting_nor_unserved(self):
        waits = {("a", ""): 9.0, ("b", ""): 1.0, ("b", "x"): 8.0, ("b", "y"): 2.0, ("c", "x"): 5.0}
        paused = {("queue", "a"), ("partition", "x"), ("job", "y"), ("partition", "a")}

        found = see([], waits, paused, NOTHING, LIMITS)

        assert {"b": 2.0} == found.waits
        assert {"a": 9.0, "b": 8.0, "c": 5.0} == found.paused
        assert {"b": None} == found.unserved
        assert (2.0, 9.0) == (found.oldest_waiting, found.oldest_paused)

    def test_worker_on_all_queues_serves_each(self):
        assert {} == see([Beat(1.0)], {("a", ""): 1.0}, NO_PAUSE, NOTHING, LIMITS).unserved

    def test_workers_elsewhere_do_not_count_when_queues_are_named(self):
        beats = [
            Beat(1.0, Service(queues=("a", "b"))),
            Beat(2.0),
            Beat(0.5, C),
            Beat(500.0, C),
        ]
        limits = Limits(max_beat=timedelta(seconds=30), queues=("b", "x"))

        assert Seen(alive=2, silent=0, youngest_beat=1.0, oldest_beat=2.0) == see(
            beats, {}, NO_PAUSE, NOTHING, limits
        )


class JudgeTests:
    def test_idle_and_healthy(self):
        assert (
            Fact("workers", "1 alive, last heartbeat 2 s ago"),
            Fact("queues", "each one with jobs is served"),
            Fact("waiting", "no job"),
            Fact("overdue", "no job"),
            Fact("lapsed", "no job"),
        ) == judge(IDLE, LIMITS)

    def test_workers_are_too_few(self):
        assert Fact(
            "workers",
            "1 alive, expected at least 2, 3 silent, last heartbeat 2 s ago",
            Finding.TOO_FEW_WORKERS,
        ) == fact("workers", seen(silent=3), min_workers=2)

    def test_nobody_has_to_be_there(self):
        nobody = seen(alive=0, youngest_beat=None, oldest_beat=None)

        assert Fact("workers", "0 alive") == fact("workers", nobody, min_workers=0)

    def test_silent_workers_are_told_of(self):
        assert Fact("workers", "1 alive, 1 silent, last heartbeat 2 s ago") == fact(
            "workers", seen(silent=1)
        )

    def test_unserved_queues_are_named(self):
        assert Fact(
            "queues",
            "jobs wait, and no living worker serves 'a', 'b'",
            Finding.QUEUE_UNSERVED,
        ) == fact("queues", seen(unserved={"a": None, "b": None}))

    def test_unserved_partitions_are_named(self):
        names = "partition '' of 'a', partition 'x' of 'a', 'b'"

        assert (
            f"jobs wait, and no living worker serves {names}"
            == fact("queues", seen(unserved={"a": ("", "x"), "b": None})).text
        )

    def test_not_too_many_of_them(self):
        assert (
            "jobs wait, and no living worker serves 'a', 'b', 'c', 'd', 'e' and 2 more"
        ) == fact("queues", seen(unserved=dict.fromkeys("abcdefg"))).text

    def test_job_waits_for_as_long_as_it_may(self):
        waits = {"a": 60.0, "b": 3.0}

        assert Fact("waiting", "the oldest job for 60 s, on 'a'") == fact(
            "waiting", seen(waits=waits)
        )

    def test_job_waits_for_too_long(self):
        waits = {"a": 3.0, "b": 60.001}

        assert Fact(
            "waiting", "the oldest job for 60 s, on 'b', limit 60 s", Finding.JOB_WAITS
        ) == fact("waiting", seen(waits=waits))

    def test_paused_job_may_wait_for_ever(self):
        waits = {"a": 3.0, "b": 3600.0}

        found = judge(seen(paused=waits), LIMITS)

        assert Fact("paused", "the oldest job for 3600 s, on 'b'") in found
        assert Fact("waiting", "no job") in found

    @pytest.mark.parametrize(("age", "finding"), [(60.0, None), (61.0, Finding.JOB_OVERDUE)])
    def test_job_is_overdue(self, age, finding):
        limit = ", limit 60 s" if finding else ""

        assert Fact(
            "overdue", f"a job is due for {age:.0f} s and not available{limit}", finding
        ) == fact("overdue", seen(overdue=age))

    @pytest.mark.parametrize(("age", "finding"), [(60.0, None), (61.0, Finding.JOB_LAPSED)])
    def test_job_has_lapsed(self, age, finding):
        limit = ", limit 60 s" if finding else ""

        assert Fact(
            "lapsed",
            f"a job is without its worker for {age:.0f} s and not rescued{limit}",
            finding,
        ) == fact("lapsed", seen(lapsed=age))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 s"),
        (0.04, "0.0 s"),
        (2.0, "2 s"),
        (9.94, "9.9 s"),
        (10.4, "10 s"),
        (3600, "3600 s"),
    ],
)
def test_durations_are_shown_in_seconds(seconds, text):
    assert text == shown(seconds)
