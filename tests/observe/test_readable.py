from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from django_jobflow.arguments import HIDDEN, encode
from django_jobflow.observe.readable import TEXT_SHOWN, pretty, pretty_members
from django_jobflow.states import JobState


def shown(value):
    """Return how *value*, stored as an argument, is shown."""
    stored, _ = encode("test", [value], {}, max_size=10**6)
    return pretty(stored[0])


class TestPretty:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (None, "null"),
            (True, "true"),
            (1.5, "1.5"),
            (2**70, "1180591620717411303424"),
            (1e300, "1e+300"),
            ('ë "x"\n', '"ë \\"x\\"\\n"'),
            ([], "[]"),
            ({}, "{}"),
            ((), "()"),
            ([1, "a"], '[1, "a"]'),
            ((1, (2,)), "(1, (2))"),
            ({1}, "set {1}"),
            (frozenset([1]), "frozenset {1}"),
            ({"a": {"b": 1}}, '{"a": {"b": 1}}'),
            ({1: "a", (2, 3): "b"}, '{1: "a", (2, 3): "b"}'),
            (date(2026, 11, 21), "date 2026-11-21"),
            (time(9, 30), "time 09:30:00"),
            (datetime(2026, 11, 21, 9, tzinfo=UTC), "datetime 2026-11-21T09:00:00+00:00"),
            (
                datetime(2026, 11, 21, 9, tzinfo=ZoneInfo("Europe/Berlin")),
                "datetime 2026-11-21T09:00:00+01:00 Europe/Berlin",
            ),
            (timedelta(days=1, hours=2), "timedelta 1 day, 2:00:00"),
            (Decimal("19.90"), "Decimal 19.90"),
            (UUID(int=7), "UUID 00000000-0000-0000-0000-000000000007"),
            (b"ab\x00", "b'ab\\x00' (3 bytes)"),
            (b"a" * 61, f"b'{'a' * 60}'… (61 bytes)"),
            (JobState.FAILED, "JobState.FAILED"),
            ({"$jobflow": "datetime"}, '{"$jobflow": "datetime"}'),
        ],
    )
    def test_stored_value_is_shown_as_what_it_stands_for(self, value, expected):
        assert expected == shown(value)

    def test_model_instance_is_shown_by_label_and_key(self):
        stored = {"$jobflow": "model", "value": ["shop.order", 42, "default"]}

        assert "shop.order 42" == pretty(stored)

    def test_combination_of_flags_is_shown_by_its_names(self):
        stored = {"$jobflow": "enum", "value": ["shop.rights", "Right", ["READ", "WRITE"]]}

        assert "Right.READ | Right.WRITE" == pretty(stored)

    def test_value_that_is_too_long_for_a_line_is_indented(self):
        long = "x" * 80

        expected = f'{{\n  "a": "{long}",\n  "b": [1, 2]\n}}'
        assert expected == pretty({"a": long, "b": [1, 2]})

    @pytest.mark.parametrize(
        "value",
        [
            {"$jobflow": "datetime", "value": 7},
            {"$jobflow": "timedelta", "value": "x"},
            {"$jobflow": "timedelta", "value": [10**12, 0, 0]},
            {"$jobflow": "bytes", "value": "?"},
            {"$jobflow": "tuple", "value": None},
            {"$jobflow": "model", "value": ["shop.order"]},
            {"$jobflow": "unheard of", "value": 1},
            {"$jobflow": [], "value": 1},
        ],
    )
    def test_tag_that_no_enqueue_has_written_is_shown_as_it_is(self, value):
        assert pretty(value).startswith('{"$jobflow": ')

    def test_value_nested_without_end_breaks_nothing(self):
        value = []
        for _ in range(5000):
            value = [value]

        assert pretty(value).endswith("\n… the rest is not shown")

    def test_key_nested_without_end_breaks_nothing(self):
        value = 1
        for _ in range(5000):
            value = {"$jobflow": "dict", "value": [[value, 1]]}

        assert '"dict nested too deep to be shown"' == pretty(value)

    def test_long_key_is_left_out(self):
        assert "{…: 1}" == shown({(1, "x" * 99): 1})

    def test_text_ends_where_nobody_reads_on(self):
        text = pretty(["x" * 60] * 10_000)

        assert TEXT_SHOWN + len("\n… the rest is not shown") == len(text)
        assert text.startswith(f'[\n  "{"x" * 60}",\n  "xxx')

    def test_time_does_not_grow_with_size_times_depth(self):
        """Looked at from each level as a whole, this would take minutes."""
        value = ["x" * 10] * 50_000
        for _ in range(300):
            value = [value]

        assert TEXT_SHOWN < len(pretty(value))

    def test_hidden_value_is_dots(self):
        assert '[1, ••••••, {"a": ••••••}]' == pretty([1, HIDDEN, {"a": HIDDEN}])


class TestPrettyMembers:
    def test_argument_named_like_a_tag_is_shown_as_an_argument(self):
        members = {"$jobflow": "date", "value": "2026-11-21"}

        assert '{"$jobflow": "date", "value": "2026-11-21"}' == pretty_members(members)

    def test_what_is_no_object_is_shown_too(self):
        assert "[1]" == pretty_members([1])
