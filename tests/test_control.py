"""What an operator does with a queue, as it is called in code; what it checks of that."""

from datetime import UTC, datetime, timedelta

import pytest

from django_jobflow import InvalidJob, control
from django_jobflow.models import JobRecord, Limit
from django_jobflow.quotas import Quota
from django_jobflow.states import JobState
from tests.factories import FailedJobFactory, JobRecordFactory

pytestmark = pytest.mark.django_db
NOON = datetime(2099, 11, 21, 12, tzinfo=UTC)


def refusal(verb, **values):
    """Return what *verb* says when it refuses."""
    with pytest.raises(InvalidJob) as caught:
        verb(**values)
    return str(caught.value)


class PauseTests:
    def test_paused_until_it_is_resumed(self):
        control.pause(queue="email", until=NOON, reason="Deploy", by="ann")
        control.pause(partition="")

        assert [("partition", "", None, "", ""), ("queue", "email", NOON, "Deploy", "ann")] == [
            (each.kind, each.value, each.until, each.reason, each.by) for each in control.paused()
        ]
        assert control.resume(queue="email")
        assert not control.resume(queue="email")
        assert [""] == [each.value for each in control.paused()]

    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            ({}, "expected one of queue, job and partition, got none."),
            (
                {"queue": "a", "job": "b"},
                "expected one of queue, job and partition, got queue='a', job='b'.",
            ),
            (
                {"queue": "a", "until": NOON, "for_": 5},
                f"expected until or for_, got both: {NOON!r} and 5.",
            ),
            (
                {"queue": "a", "reason": "x" * 201},
                "expected reason to be at most 200 characters without NUL or lone surrogates, "
                f"got {'x' * 201!r}.",
            ),
            (
                {"queue": "a", "by": None},
                "expected by to be at most 200 characters without NUL or lone surrogates, "
                "got None.",
            ),
            (
                {"queue": "a", "reason": "\ud800"},
                "expected reason to be at most 200 characters without NUL or lone surrogates, "
                "got '\\ud800'.",
            ),
            (
                {"queue": "a", "until": datetime(2030, 1, 31)},
                "expected until to be an aware datetime, since USE_TZ is on, "
                f"got {datetime(2030, 1, 31)!r}.",
            ),
        ],
    )
    def test_what_means_nothing_is_refused(self, values, expected):
        assert f"pause: {expected}" == refusal(control.pause, **values)
        assert [] == control.paused()


class LimitTests:
    def test_limit_is_set_and_cleared(self):
        control.set_limit(queue="email", concurrency=3, rate="5/s", burst=2, by="ann")

        row = Limit.objects.get()
        assert (3, 5, timedelta(seconds=1), 2, "ann", True) == (
            row.concurrency,
            row.rate,
            row.period,
            row.burst,
            row.by,
            row.is_override,
        )
        assert control.clear_limit(queue="email")
        assert not control.clear_limit(queue="email")

    def test_limit_of_a_key_leaves_nothing_behind(self):
        control.set_limit(key="e", concurrency=3)
        control.set_limit(key="f", rate="1/h")

        assert control.clear_limit(key="e")
        assert not control.clear_limit(key="e")
        assert [("key", "f")] == list(Limit.objects.values_list("kind", "value"))

    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            ({"burst": 2}, "expected a rate with burst, got burst=2 alone."),
            (
                {"concurrency": 0},
                "expected concurrency to be a whole number from 1, or None, got 0.",
            ),
            (
                {"rate": "many"},
                "expected rate to be text like '100/m' or '10/30s' (s, m, h or d), or a pair of "
                "a whole number from 1 and a period, or None, got 'many'.",
            ),
        ],
    )
    def test_what_means_nothing_is_refused(self, values, expected):
        assert f"set_limit: {expected}" == refusal(control.set_limit, queue="a", **values)
        assert not Limit.objects.exists()

    def test_quota_is_what_was_read(self):
        assert Quota(None, 10, timedelta(minutes=1), 3) == control.read_quota(
            "limit", None, (10, 60), 3
        )


class MuteTests:
    @pytest.mark.parametrize("verb", [control.mute_failures, control.unmute_failures])
    @pytest.mark.parametrize("fingerprint", ["a\0b", "\ud800", 5, None, "x" * 201])
    def test_what_is_no_text_is_refused(self, verb, fingerprint):
        expected = "at most 200 characters without NUL or lone surrogates"
        assert (
            f"{verb.__name__}: expected fingerprint to be {expected}, got {fingerprint!r}."
        ) == refusal(verb, fingerprint=fingerprint)


class PurgeTests:
    def test_queue_is_emptied(self):
        JobRecordFactory.create_batch(2, queue="email")
        JobRecordFactory(queue="email", state=JobState.SCHEDULED)
        kept = [FailedJobFactory(queue="email"), JobRecordFactory()]

        assert 3 == control.purge(queue="email", dry_run=True)
        assert 3 == control.purge(queue="email")
        assert {each.pk for each in kept} == set(JobRecord.objects.values_list("pk", flat=True))

    @pytest.mark.parametrize(
        ("narrowed", "count"),
        [
            ({"job": "a"}, 2),
            ({"partition": "acme"}, 1),
            ({"partition": ""}, 2),
            ({"job": "b", "partition": ""}, 1),
            ({"states": ["FAILED"]}, 1),
            ({"states": [JobState.FAILED, "AVAILABLE"], "job": "a"}, 3),
        ],
    )
    def test_each_thing_narrows(self, narrowed, count):
        JobRecordFactory(name="a")
        JobRecordFactory(name="a", partition="acme")
        JobRecordFactory(name="b")
        FailedJobFactory(name="a")

        assert count == control.purge(queue="default", dry_run=True, **narrowed)
        assert count == control.purge(queue="default", **narrowed)
        assert 4 - count == JobRecord.objects.count()

    @pytest.mark.parametrize("states", ["FAILED", [], ["IN_PROGRESS"], ["failed"], 3, [None]])
    def test_what_is_no_state_to_be_purged_is_refused(self, states):
        JobRecordFactory()

        expected = (
            "purge: expected states to be some of FAILED, CANCELLED, SCHEDULED, RETRY, WAITING, "
            f"RESERVED, AVAILABLE, got {states!r}."
        )
        assert expected == refusal(control.purge, queue="default", states=states)
        assert JobRecord.objects.exists()

    @pytest.mark.parametrize("most", [0, -1, "5", 2.0, True])
    def test_what_is_no_number_to_be_purged_is_refused(self, most):
        JobRecordFactory()

        expected = f"purge: expected most to be a whole number from 1, or None, got {most!r}."
        assert expected == refusal(control.purge, queue="default", most=most)
        assert JobRecord.objects.exists()

    @pytest.mark.parametrize("names", [{"queue": None}, {"queue": ""}, {"queue": "a", "job": ""}])
    def test_what_is_no_name_is_refused(self, names):
        assert refusal(control.purge, **names).startswith("purge: expected ")
