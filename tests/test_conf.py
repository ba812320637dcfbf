from dataclasses import FrozenInstanceError
from datetime import timedelta

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from django_jobflow import conf
from django_jobflow.conf import NAMES, QueueSettings, Settings
from django_jobflow.quotas import RATE, Quota

NOT_NEGATIVE = "a timedelta or seconds, from 0 to 100 years"
POSITIVE = "a timedelta or seconds, above 0 to 100 years"
BYTES = "a whole number of bytes, at least 1"
QUEUES = "a dict of queue names, each with a dict of its settings"
CONCURRENCY = "the concurrency of queue 'email' to be a whole number from 1, or None"
LIMIT = "the limit of queue 'email' to be a whole number from 1, or None"
RATE_OF_EMAIL = f"the rate of queue 'email' to be {RATE}, or None"
BAD_RATES = ["", "10", "10/w", "0/s", "-1/s", 10, (10,), (0, 1), (10, 0), ("10", 1), (True, 1)]
GOOD_RATES = [
    ("10/s", (10, timedelta(seconds=1))),
    ("100/m", (100, timedelta(minutes=1))),
    ("1/h", (1, timedelta(hours=1))),
    ("5/d", (5, timedelta(days=1))),
    ((5, 2.5), (5, timedelta(seconds=2.5))),
    ([5, timedelta(days=7)], (5, timedelta(days=7))),
    (None, ()),
]
MINUTE = timedelta(minutes=1)
KNOWN_ALIASES = "one of the aliases in DATABASES ['default', 'other']"

EXECUTOR = "a dotted path, or a dict of queue names, each with one"
GOOD = [
    ("DATABASE", "other", "other"),
    ("QUEUES", {}, {}),
    ("QUEUES", {"email": {}}, {"email": QueueSettings()}),
    ("QUEUES", {"email": {"concurrency": 2}}, {"email": QueueSettings(concurrency=2)}),
    ("QUEUES", {"email": {"concurrency": None}}, {"email": QueueSettings()}),
    ("QUEUES", {"email": {"limit": 40}}, {"email": QueueSettings(quota=Quota(40))}),
    *(
        ("QUEUES", {"email": {"rate": rate}}, {"email": QueueSettings(quota=Quota(None, *kept))})
        for rate, kept in GOOD_RATES
    ),
    (
        "QUEUES",
        {"email": {"rate": "10/s", "burst": 2}},
        {"email": QueueSettings(quota=Quota(None, 10, timedelta(seconds=1), 2))},
    ),
    ("DEFAULTS", {"max_attempts": 3}, {"max_attempts": 3}),
    *((name, 60, MINUTE) for name in NAMES if name in {"RESERVATION_TIMEOUT", "POLL_INTERVAL"}),
    ("MIDDLEWARE", ["shop.middleware.locale"], ("shop.middleware.locale",)),
    ("EXECUTOR", "shop.engines.pool", "shop.engines.pool"),
    ("EXECUTOR", {"reports": "shop.engines.pool"}, {"reports": "shop.engines.pool"}),
    ("LEASE", timedelta(hours=2), timedelta(hours=2)),
    ("WAKE_UP", "auto", "auto"),
    ("WAKE_UP", "poll", "poll"),
    ("HEARTBEAT", 0.5, timedelta(milliseconds=500)),
    ("HEARTBEAT", None, None),
    ("SWEEP_INTERVAL", 0.1, timedelta(milliseconds=100)),
    ("SHUTDOWN_TIMEOUT", 0, timedelta(0)),
    ("TIMEOUT_GRACE", 0, timedelta(0)),
    ("RETAIN_SUCCEEDED", timedelta(days=3650), timedelta(days=3650)),
    ("RETAIN_SUCCEEDED", 0, timedelta(0)),
    ("RETAIN_SUCCEEDED", None, None),
    ("RETAIN_FAILED", 60, MINUTE),
    ("RETAIN_FAILED", None, None),
    ("RETAIN_AUDIT", 60, MINUTE),
    ("RETAIN_AUDIT", None, None),
    ("RETAIN_FAILURES", 60, MINUTE),
    ("RETAIN_FAILURES", None, None),
    ("RELEASE", "2026.11.1", "2026.11.1"),
    ("RETAIN_HISTORY", 0, timedelta(0)),
    ("MAX_ARGUMENTS_SIZE", 1, 1),
    ("MAX_RESULT_SIZE", 10**9, 10**9),
    *(("INLINE", value, value) for value in [False, True, "raise"]),
]

BAD = [
    ("DATABASE", "defualt", KNOWN_ALIASES),
    ("DATABASE", None, KNOWN_ALIASES),
    ("DATABASE", ["default"], KNOWN_ALIASES),
    ("QUEUES", ["email"], QUEUES),
    ("QUEUES", {"email": 2}, QUEUES),
    ("QUEUES", {7: {}}, QUEUES),
    (
        "QUEUES",
        {"email": {"limits": 2}},
        "queue 'email' to have no setting but 'burst', 'concurrency', 'limit' and 'rate'",
    ),
    *(("QUEUES", {"email": {"limit": n}}, LIMIT) for n in [0, -1, 1.5, "2", True]),
    *(("QUEUES", {"email": {"rate": rate}}, RATE_OF_EMAIL) for rate in BAD_RATES),
    (
        "QUEUES",
        {"email": {"rate": "1/s", "burst": 0}},
        "the burst of queue 'email' to be a whole number from 1, or None",
    ),
    ("QUEUES", {"email": {"burst": 2}}, "queue 'email' to have a rate, since it has a burst"),
    *(("QUEUES", {"email": {"concurrency": n}}, CONCURRENCY) for n in [0, -1, 1.5, "2", True]),
    ("DEFAULTS", ["queue"], "a dict of job options"),
    ("DEFAULTS", {7: "x"}, "a dict of job options"),
    *(("MIDDLEWARE", value, "a list of dotted paths") for value in ["shop.locale", [7], None]),
    *(("EXECUTOR", value, EXECUTOR) for value in ["", None, ["a.b"], {"a": None}, {"": "a.b"}]),
    *(("LEASE", value, POSITIVE) for value in [0, -1, "60", None, True, timedelta(0)]),
    ("LEASE", timedelta(days=40_000), POSITIVE),
    ("HEARTBEAT", 0, f"{POSITIVE}, or None"),
    ("RESERVATION_TIMEOUT", None, POSITIVE),
    ("POLL_INTERVAL", float("nan"), POSITIVE),
    *(("WAKE_UP", value, "'auto' or 'poll'") for value in ["notify", None, True, []]),
    *(("INLINE", value, "False, True or 'raise'") for value in ["yes", None, []]),
    ("SWEEP_INTERVAL", 0, POSITIVE),
    ("SHUTDOWN_TIMEOUT", None, NOT_NEGATIVE),
    ("TIMEOUT_GRACE", -1, NOT_NEGATIVE),
    ("RETAIN_SUCCEEDED", "7 days", f"{NOT_NEGATIVE}, or None"),
    ("RETAIN_FAILED", -1, f"{NOT_NEGATIVE}, or None"),
    ("RETAIN_AUDIT", -1, f"{NOT_NEGATIVE}, or None"),
    ("RETAIN_FAILURES", -1, f"{NOT_NEGATIVE}, or None"),
    *(
        ("RELEASE", value, "text of at most 100 characters")
        for value in [None, 7, "x" * 101, "a\0b"]
    ),
    ("RETAIN_HISTORY", -1, f"{NOT_NEGATIVE}, or None"),
    *(("MAX_ARGUMENTS_SIZE", value, BYTES) for value in [0, 1.5, "1", True, None]),
    ("MAX_RESULT_SIZE", 0, BYTES),
]


class CurrentTests:
    def test_project_without_settings_has_the_defaults(self, settings):
        settings.JOBFLOW = {}

        assert Settings() == conf.current()

    def test_defaults_are_as_documented(self):
        defaults = Settings()

        times = (60, None, 60, 1, "auto", 4, 25, 5, 7, None, 365, 30)
        assert ("default", {}, {}, *times, "", 730, 2**20, 2**20) == (
            defaults.DATABASE,
            defaults.QUEUES,
            defaults.DEFAULTS,
            defaults.LEASE.total_seconds(),
            defaults.HEARTBEAT,
            defaults.RESERVATION_TIMEOUT.total_seconds(),
            defaults.POLL_INTERVAL.total_seconds(),
            defaults.WAKE_UP,
            defaults.SWEEP_INTERVAL.total_seconds(),
            defaults.SHUTDOWN_TIMEOUT.total_seconds(),
            defaults.TIMEOUT_GRACE.total_seconds(),
            defaults.RETAIN_SUCCEEDED.days,
            defaults.RETAIN_FAILED,
            defaults.RETAIN_AUDIT.days,
            defaults.RETAIN_FAILURES.days,
            defaults.RELEASE,
            defaults.RETAIN_HISTORY.days,
            defaults.MAX_ARGUMENTS_SIZE,
            defaults.MAX_RESULT_SIZE,
        )

    def test_missing_setting_is_an_empty_one(self, settings):
        if hasattr(settings, "JOBFLOW"):
            del settings.JOBFLOW

        assert {} == conf.raw_settings()

    @pytest.mark.parametrize(("name", "value", "kept"), GOOD)
    def test_good_value_is_kept_in_one_form(self, settings, name, value, kept):
        settings.JOBFLOW = {name: value}

        assert kept == getattr(conf.current(), name)

    @pytest.mark.parametrize(("name", "value", "expected"), BAD)
    def test_bad_value_is_refused(self, settings, name, value, expected):
        settings.JOBFLOW = {name: value}

        with pytest.raises(ImproperlyConfigured) as caught:
            conf.current()

        assert f"JOBFLOW[{name!r}]: expected {expected}, got {value!r}." == str(caught.value)

    def test_every_setting_has_a_good_and_a_bad_value_here(self):
        assert set(NAMES) == {name for name, *_ in GOOD}
        assert set(NAMES) == {name for name, *_ in BAD}

    def test_release_is_what_the_environment_says_unless_the_settings_do(
        self, settings, monkeypatch
    ):
        monkeypatch.setenv("JOBFLOW_RELEASE", "2026.11.1" + "x" * 100)
        settings.JOBFLOW = {}
        assert ("2026.11.1" + "x" * 100)[:100] == conf.current().release

        settings.JOBFLOW = {"RELEASE": "2026.11.2"}
        assert "2026.11.2" == conf.current().release

    def test_value_is_frozen(self):
        with pytest.raises(FrozenInstanceError):
            conf.current().LEASE = MINUTE

    def test_is_read_once(self):
        assert conf.current() is conf.current()

    def test_is_read_again_when_settings_are_overridden(self):
        before = conf.current()

        with override_settings(JOBFLOW={"LEASE": 120}):
            assert 2 * MINUTE == conf.current().LEASE

        assert before == conf.current()

    def test_other_settings_leave_it_alone(self):
        before = conf.current()

        with override_settings(LANGUAGE_CODE="de"):
            assert before is conf.current()

    def test_heartbeat_is_a_quarter_of_the_lease_unless_it_is_set(self, settings):
        settings.JOBFLOW = {"LEASE": 120}
        assert timedelta(seconds=30) == conf.current().heartbeat

        settings.JOBFLOW = {"LEASE": 120, "HEARTBEAT": 60}
        assert MINUTE == conf.current().heartbeat


class ProblemTests:
    def test_unknown_setting_is_answered_with_the_nearest_one(self):
        (problem,) = conf.problems({"POLL_INTERVALL": 1})

        assert (
            "unknown",
            "JOBFLOW['POLL_INTERVALL'] is not a setting. Did you mean 'POLL_INTERVAL'?",
            f"The settings are {', '.join(NAMES)}.",
        ) == (problem.kind, problem.message, problem.hint)

    @pytest.mark.parametrize("key", ["BROKER_URL", 7, None])
    def test_nothing_near_is_no_guess(self, key):
        (problem,) = conf.problems({key: 1})

        assert f"JOBFLOW[{key!r}] is not a setting." == problem.message

    def test_lower_case_is_another_name(self):
        (problem,) = conf.problems({"lease": 1})

        assert "JOBFLOW['lease'] is not a setting." == problem.message

    @pytest.mark.parametrize("raw", [None, [], "LEASE", 7])
    def test_something_else_than_a_dict_is_refused(self, raw):
        (problem,) = conf.problems(raw)

        assert (
            "value",
            f"JOBFLOW: expected a dict, got {raw!r}.",
            "Set JOBFLOW = {} or remove it.",
        ) == (problem.kind, problem.message, problem.hint)

    def test_wrong_value_comes_with_a_way_out(self):
        (problem,) = conf.problems({"LEASE": 0})

        assert "Correct JOBFLOW['LEASE'] or remove it to have the default." == problem.hint

    @pytest.mark.parametrize("raw", [{"LEASE": 10, "HEARTBEAT": 6}, {"HEARTBEAT": 31}])
    def test_lease_has_to_hold_two_heartbeats(self, raw):
        (problem,) = conf.problems(raw)

        settings = Settings(**{key: timedelta(seconds=value) for key, value in raw.items()})
        assert (
            "lease",
            f"JOBFLOW['LEASE']: expected at least twice JOBFLOW['HEARTBEAT'] "
            f"({settings.HEARTBEAT}), got {settings.LEASE}.",
            "Lengthen LEASE, or leave HEARTBEAT out: it is LEASE / 4 then.",
        ) == (problem.kind, problem.message, problem.hint)

    def test_lease_of_just_two_heartbeats_will_do(self):
        assert [] == conf.problems({"LEASE": 10, "HEARTBEAT": 5})

    def test_every_mistake_is_found_at_once(self, settings):
        settings.JOBFLOW = {"LEASE": 0, "QUEUE": {}, "DATABASE": "nowhere"}

        with pytest.raises(ImproperlyConfigured) as caught:
            conf.current()

        assert (
            "JOBFLOW['DATABASE']: expected one of the aliases in DATABASES ['default', 'other'], "
            "got 'nowhere'. "
            f"JOBFLOW['LEASE']: expected {POSITIVE}, got 0. "
            "JOBFLOW['QUEUE'] is not a setting. Did you mean 'QUEUES'?"
        ) == str(caught.value)
