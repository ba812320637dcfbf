from datetime import timedelta

import pytest
from django.core.exceptions import ImproperlyConfigured

from django_jobflow.health import Limits

DURATION = "to be seconds or a timedelta, from 0 to 100 years"
NAME = (
    "queue to be 1 to 100 letters, digits, '_', '-', '.' or ':' that start with a letter, a digit "
    "or '_'"
)


class ReadTests:
    def test_defaults_are_those_of_the_command(self):
        limits = Limits.read("HealthView")

        assert Limits() == limits
        assert (timedelta(minutes=1), None, 1, None) == (
            limits.max_wait,
            limits.max_beat,
            limits.min_workers,
            limits.queues,
        )

    def test_seconds_and_lists_will_do(self):
        limits = Limits.read(
            "HealthView", max_wait=1.5, max_beat=30, min_workers=0, queues=["b", "a", "b"]
        )

        assert limits == Limits(
            max_wait=timedelta(seconds=1.5),
            max_beat=timedelta(seconds=30),
            min_workers=0,
            queues=("b", "a"),
        )

    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ({"max_wait": "1"}, f"max_wait {DURATION}, got '1'"),
            ({"max_beat": -1}, f"max_beat {DURATION}, got -1"),
            ({"min_workers": -1}, "min_workers to be a whole number from 0, got -1"),
            ({"min_workers": True}, "min_workers to be a whole number from 0, got True"),
            ({"queues": "email"}, "queues to be a list of names, or None, got 'email'"),
            ({"queues": []}, "queues to be a list of names, or None, got []"),
            ({"queues": ["a b"]}, f"{NAME}, got 'a b'"),
        ],
    )
    def test_mistake_is_named(self, given, expected):
        with pytest.raises(ImproperlyConfigured) as caught:
            Limits.read("HealthView", **given)

        assert f"HealthView: expected {expected}." == str(caught.value)


class SilenceTests:
    def test_lease_is_the_default(self, settings):
        settings.JOBFLOW = {"LEASE": 20}

        assert timedelta(seconds=20) == Limits().silence
        assert timedelta(seconds=5) == Limits(max_beat=timedelta(seconds=5)).silence
