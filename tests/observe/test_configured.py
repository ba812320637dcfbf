from datetime import timedelta

import pytest

from django_jobflow import conf, observe
from django_jobflow.conf import QueueSettings
from django_jobflow.observe.configured import shown
from django_jobflow.quotas import Quota


def test_each_setting_tells_where_it_comes_from(settings):
    settings.JOBFLOW = {"LEASE": 30, "RETAIN_FAILED": None}

    found = {each.name: each for each in observe.settings_in_force()}

    assert list(conf.NAMES) == list(found)
    lease, retain, poll = (found[name] for name in ("LEASE", "RETAIN_FAILED", "POLL_INTERVAL"))
    assert ("30 s", "1 min", True, False) == (
        lease.value.replace("\xa0", " "),
        lease.default.replace("\xa0", " "),
        lease.is_given,
        lease.is_default,
    )
    assert ("for ever", True, True) == (retain.value, retain.is_given, retain.is_default)
    assert (False, True) == (poll.is_given, poll.is_default)


def test_what_follows_from_others_is_shown_as_it_is_in_force(settings, monkeypatch):
    monkeypatch.setenv("JOBFLOW_RELEASE", "2026.11.2")
    settings.JOBFLOW = {"LEASE": 600, "MAX_RESULT_SIZE": 1500, "MAX_ARGUMENTS_SIZE": 2048}

    found = {each.name: each for each in observe.settings_in_force()}

    shown_values = {
        name: (found[name].value.replace("\xa0", " "), found[name].is_default)
        for name in ("HEARTBEAT", "RELEASE", "MAX_RESULT_SIZE", "MAX_ARGUMENTS_SIZE")
    }
    assert {
        "HEARTBEAT": ("2 min 30 s", True),
        "RELEASE": ("2026.11.2", True),
        "MAX_RESULT_SIZE": ("1,500 bytes", False),
        "MAX_ARGUMENTS_SIZE": ("2 kB", False),
    } == shown_values


def test_setting_whose_name_says_that_it_is_secret_is_hidden(settings):
    settings.JOBFLOW = {"DEFAULTS": {"api_token": "hunter2"}}

    found = {each.name: each.value for each in observe.settings_in_force()}

    assert "hunter2" not in found["DEFAULTS"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (False, "no"),
        (True, "yes"),
        (3, "3"),
        (timedelta(minutes=2), "2\xa0min"),
        ({"a": 1, "b": {"c": None}}, "a: 1, b: c: -"),
        (("x", "y"), "x, y"),
        (frozenset({"b", "a"}), "a, b"),
        ({}, ""),
        ({"email": QueueSettings()}, "email: ()"),
        ({"email": QueueSettings(quota=Quota(3))}, "email: (quota: (concurrency: 3))"),
    ],
)
def test_value_is_shown_as_text(value, text):
    assert text == shown(value)
