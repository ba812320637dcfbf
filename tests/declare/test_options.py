from datetime import timedelta

import pytest

from django_jobflow import Exponential, Immediate, InvalidJob, Levels, Linear, job
from django_jobflow.declare.options import NAMES, OWN_ONLY, SHARED_NAMES
from tests.declare.declaring import PLACE, declare


def pause(attempt):
    return attempt


class Strategy:
    def __call__(self, attempt):
        return attempt

    def method(self, attempt):
        return attempt


QUEUE = "1 to 100 letters, digits, '_', '-', '.' or ':' that start with a letter, a digit or '_'"
ATTEMPTS = "a whole number from 1 to 10000"
PRIORITY = "a whole number from -100 to 100"
BASE_DELAY = "seconds or a timedelta, from 0 to 365 days"
TIMEOUT = "seconds or a timedelta, above 0 to 365 days, or None"
RETAIN = "seconds or a timedelta, from 0 to 365 days, or None"
BACKOFF = "Exponential(...), Linear(...), Levels([...]), Immediate() or a callable of the attempt"
NOTIFY = "text of 1 to 1000 characters, or None"
KEEP_LOGS = "False or True or 'DEBUG' or 'INFO' or 'WARNING' or 'ERROR' or 'CRITICAL'"
SENSITIVE = "a set of names of parameters, True for all or False for none"
TRANSACTIONAL = "False or True or 'pipelined' or 'grouped'"
DUPLICATE = "'return' or 'raise' or 'replace'"
BURST = "a whole number from 1 to 2147483647, or None"
RATE = (
    "text like '100/m' or '10/30s' (s, m, h or d), or a pair of a whole number from 1 and a "
    "period, or None"
)
CONCURRENCY = "a whole number from 1 to 1000, or None"
NAME = "1 to 200 printable characters"
STRATEGY = Strategy()

GOOD = [
    ("queue", "email", "email"),
    ("queue", "a" * 100, "a" * 100),
    ("queue", "eu-west.mail:2", "eu-west.mail:2"),
    ("queue", "_7", "_7"),
    ("step", "send", "send"),
    ("max_attempts", 1, 1),
    ("max_attempts", 10_000, 10_000),
    ("base_delay", 0, timedelta(0)),
    ("base_delay", 0.5, timedelta(milliseconds=500)),
    ("base_delay", timedelta(days=365), timedelta(days=365)),
    ("backoff", Linear(3), Linear(3)),
    ("backoff", Levels([1, 2]), Levels([1, 2])),
    ("backoff", Immediate(), Immediate()),
    ("backoff", pause, pause),
    ("backoff", STRATEGY, STRATEGY),
    ("backoff", STRATEGY.method, STRATEGY.method),
    ("backoff", abs, abs),
    ("backoff", max, max),  # has no signature to look at
    ("backoff", None, Exponential(1)),
    ("timeout", 60, timedelta(minutes=1)),
    ("timeout", 0.001, timedelta(milliseconds=1)),
    ("timeout", timedelta(hours=2), timedelta(hours=2)),
    ("timeout", None, None),
    ("soft_timeout", 60, timedelta(minutes=1)),
    ("soft_timeout", None, None),
    ("priority", -100, -100),
    ("priority", 100, 100),
    ("transactional", True, True),
    ("transactional", "pipelined", "pipelined"),
    ("transactional", "grouped", "grouped"),
    ("on_duplicate", "raise", "raise"),
    ("on_duplicate", "replace", "replace"),
    *(
        (option, *pair)
        for option in ("unique_for", "debounce", "debounce_max")
        for pair in [(None, None), (60, timedelta(minutes=1))]
    ),
    ("retain_succeeded", 0, timedelta(0)),
    ("retain_succeeded", None, None),
    ("retain_succeeded", timedelta(days=1), timedelta(days=1)),
    ("notify", "order 7", "order 7"),
    ("notify", None, None),
    ("keep_logs", True, True),
    ("keep_logs", "INFO", "INFO"),
    ("sensitive", True, True),
    ("sensitive", False, False),
    ("sensitive", {"order_id"}, frozenset({"order_id"})),
    ("sensitive", ["order_id", "return"], frozenset({"order_id", "return"})),
    ("sensitive", (), frozenset()),
    ("concurrency", 1, 1),
    ("concurrency", None, None),
    ("concurrency", 1000, 1000),
    ("rate", "100/m", (100, timedelta(minutes=1))),
    ("rate", (7, 30), (7, timedelta(seconds=30))),
    ("rate", None, None),
    ("burst", None, None),
    ("name", "send receipt é", "send receipt é"),
    ("name", "n" * 200, "n" * 200),
    ("aliases", ["old", "older"], ("old", "older")),
    ("aliases", (), ()),
]

BAD = [
    *(("queue", value, QUEUE) for value in ["", "a" * 101, "-mail", "e mail", "mail\n", "é", 7]),
    ("queue", None, QUEUE),
    ("step", "a b", QUEUE),
    *(("max_attempts", value, ATTEMPTS) for value in [0, -1, 10_001, 1.0, "3", True, None]),
    *(("base_delay", value, BASE_DELAY) for value in [-1, "5", None, True, timedelta(days=366)]),
    *(("base_delay", value, BASE_DELAY) for value in [float("nan"), float("inf"), 10**400]),
    *(("backoff", value, BACKOFF) for value in [5, "linear", Linear, [1, 2], lambda: 1]),
    *(("soft_timeout", value, TIMEOUT) for value in [0, "30"]),
    *(("timeout", value, TIMEOUT) for value in [0, -1, timedelta(0), "30", False]),
    *(("priority", value, PRIORITY) for value in [-101, 101, 0.5, "1", True, None]),
    *(("transactional", value, TRANSACTIONAL) for value in [1, 0, None, "group"]),
    *(("on_duplicate", value, DUPLICATE) for value in ["ignore", None, True]),
    *((option, 0, TIMEOUT) for option in ("unique_for", "debounce", "debounce_max")),
    *(("retain_succeeded", value, RETAIN) for value in [-1, "7 days"]),
    *(("notify", value, NOTIFY) for value in ["", 7, True, "x" * 1001, "a\x00b"]),
    *(("keep_logs", value, KEEP_LOGS) for value in [1, 20, "info", "", None]),
    *(("sensitive", value, SENSITIVE) for value in ["order_id", None, 1, {"order_id": 1}, [1]]),
    ("sensitive", ["order id"], SENSITIVE),
    *(("concurrency", value, CONCURRENCY) for value in [0, -1, 1001, 2.0, "2", True]),
    *(("rate", value, RATE) for value in ["100", "0/s", 5, (1, 0), "5/week", True]),
    *(("burst", value, BURST) for value in [0, -1, "2", True]),
    *(("name", value, NAME) for value in ["", "n" * 201, "a\nb", "a\x00", 7, None]),
    ("aliases", "old", "a list of former names"),
    ("aliases", 7, "a list of former names"),
]
BAD_OF_A_CLASS = [*BAD, ("abstract", 1, "False or True")]


class OptionTests:
    def test_burst_goes_with_a_rate(self):
        assert 5 == declare(rate="100/m", burst=5).definition().burst
        with pytest.raises(InvalidJob, match="expected a rate with burst, got burst=5 alone"):
            declare(burst=5)

    @pytest.mark.parametrize(("option", "value", "kept"), GOOD)
    def test_good_value_is_kept_in_one_form(self, option, value, kept):
        definition = declare(**{option: value}).definition()

        assert kept == getattr(definition, option)

    @pytest.mark.parametrize(("option", "value", "expected"), BAD_OF_A_CLASS)
    def test_bad_value_is_refused_when_the_class_is_created(self, option, value, expected):
        with pytest.raises(InvalidJob) as caught:
            declare(**{option: value})

        assert f"{PLACE}: expected {option} to be {expected}, got {value!r}." == str(caught.value)

    @pytest.mark.parametrize(("option", "value", "expected"), BAD)
    def test_bad_value_is_refused_by_the_decorator(self, option, value, expected):
        def send(order_id): ...

        with pytest.raises(InvalidJob) as caught:
            job(**{option: value})(send)

        sentence = f"expected {option} to be {expected}, got {value!r}."
        assert f"{__name__}.{send.__qualname__}: {sentence}" == str(caught.value)

    def test_bad_alias_is_refused_by_itself(self):
        with pytest.raises(InvalidJob) as caught:
            declare(aliases=["old", ""])

        assert f"{PLACE}: expected aliases to be {NAME}, got ['old', '']." == str(caught.value)

    def test_backoff_as_a_method_is_refused(self):
        def backoff(self, attempt): ...

        with pytest.raises(InvalidJob) as caught:
            declare(backoff=backoff)

        sentence = f"{PLACE}: expected backoff to be {BACKOFF}, got {backoff!r}."
        assert sentence == str(caught.value)

    def test_every_option_has_a_good_and_a_bad_value_here(self):
        assert set(NAMES) == {option for option, *_ in GOOD} | {"abstract"}
        assert set(NAMES) == {option for option, *_ in BAD_OF_A_CLASS}

    def test_shared_options_are_all_but_those_of_one_class(self):
        assert set(NAMES) - OWN_ONLY == set(SHARED_NAMES)


OPTIONS = f"The options are {', '.join(NAMES)}."


class NearMissTests:
    @pytest.mark.parametrize(
        ("attribute", "value", "option"),
        [
            ("max_attempt", 3, "max_attempts"),
            ("prioritty", 3, "priority"),
            ("queues", ["email"], "queue"),
            ("time_out", 3, "timeout"),
            ("back_off", Linear(1), "backoff"),
            ("alias", "old", "aliases"),
            ("retain_succeded", None, "retain_succeeded"),
        ],
    )
    def test_mistyped_option_is_refused_with_the_nearest_one(self, attribute, value, option):
        with pytest.raises(InvalidJob) as caught:
            declare(**{attribute: value})

        sentence = f"{PLACE}: {attribute!r} is not an option. Did you mean {option!r}? {OPTIONS}"
        assert sentence == str(caught.value)

    @pytest.mark.parametrize(
        ("attribute", "value"),
        [
            ("template", "mail.txt"),
            ("_queues", ["email"]),
            ("queues", property(lambda self: 1)),
            ("queues", lambda self: 1),
            ("Timeouts", TimeoutError),
        ],
    )
    def test_other_attribute_is_the_business_of_its_class(self, attribute, value):
        assert value is vars(declare(**{attribute: value}))[attribute]


class UnknownOptionTests:
    def test_decorator_names_the_nearest_option_and_all(self):
        def send(order_id): ...

        with pytest.raises(InvalidJob) as caught:
            job(max_retries=3, qeue="email")(send)

        known = [name for name in NAMES if name != "abstract"] + ["queue_key", "execution_key"]
        place = f"{__name__}.{send.__qualname__}"
        sentence = f"{place}: 'max_retries' is not an option. Did you mean 'max_attempts'?"
        assert f"{sentence} The options are {', '.join(known)}." == str(caught.value)

    def test_function_cannot_be_abstract(self):
        def send(order_id): ...

        with pytest.raises(InvalidJob, match="'abstract' is not an option"):
            job(abstract=True)(send)
