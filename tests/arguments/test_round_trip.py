"""What goes in comes out, through every kind of column."""

import datetime as dt
import json
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from django_jobflow.arguments import decode, encode, encode_text
from tests.arguments.strategies import TAG, as_jsonb, as_text, same, texts, values

PARIS = ZoneInfo("Europe/Paris")
LARGE = 10**9

calls = st.tuples(st.lists(values, max_size=3), st.dictionaries(texts, values, max_size=3))


class RoundTripTests:
    @pytest.mark.parametrize("column", [as_text, as_jsonb])
    @given(call=calls)
    @example(call=([], {TAG: 1, "value": 2}))
    @example(call=([{TAG: "set", "value": []}, {"value": 1, TAG: 2}], {}))
    @example(call=([{1: "a", "1": "b"}, {True: 1}, {None: 1}, {1.0: 1}], {}))
    @example(call=([dt.datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=PARIS)], {}))
    def test_call_comes_back_equal_and_of_the_same_types(self, column, call):
        args, kwargs = encode("shop.jobs.Ship", *call, max_size=LARGE)

        actual = decode(column(args), column(kwargs))

        assert same(call, actual)

    @given(call=calls)
    def test_text_is_the_compact_json_of_the_values(self, call):
        stored = encode("shop.jobs.Ship", *call, max_size=LARGE)

        actual = encode_text("shop.jobs.Ship", *call, max_size=LARGE)

        assert tuple(json.dumps(part, separators=(",", ":")) for part in stored) == actual
        assert all(map(str.isascii, actual))

    @given(call=calls)
    def test_size_limit_is_the_length_of_the_text(self, call):
        text = json.dumps(encode("n", *call, max_size=LARGE), separators=(",", ":"))

        encode("n", *call, max_size=len(text))
        encode_text("n", *call, max_size=len(text))
        for function in (encode, encode_text):
            with pytest.raises(TypeError, match="bytes, got"):
                function("n", *call, max_size=len(text) - 1)

    def test_stored_values_share_nothing_with_the_call(self):
        inner = [1]
        kwargs = {"items": inner}
        stored = encode("n", [], kwargs, max_size=LARGE)

        inner.append(2)

        assert ([], {"items": [1]}) == stored

    def test_order_of_keys_may_be_lost_and_that_is_all(self):
        stored = encode("n", [{"b": 1, "a": 2}], {}, max_size=LARGE)

        ((actual,), _) = decode(*as_jsonb(stored))

        assert {"b": 1, "a": 2} == actual


class StoredFormTests:
    """The form is on disk in many databases: a change here needs a reader of the old one."""

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (7, 7),
            (True, True),
            ("é", "é"),
            (0.1, 0.1),
            (1e16, {TAG: "float", "value": "1e+16"}),
            (-0.0, {TAG: "float", "value": "-0.0"}),
            (2**63, {TAG: "int", "value": "9223372036854775808"}),
            ((1, [2]), {TAG: "tuple", "value": [1, [2]]}),
            ({1}, {TAG: "set", "value": [1]}),
            (frozenset("a"), {TAG: "frozenset", "value": ["a"]}),
            ({1: 2}, {TAG: "dict", "value": [[1, 2]]}),
            ({TAG: 2}, {TAG: "dict", "value": [[TAG, 2]]}),
            (b"abc", {TAG: "bytes", "value": "YWJj"}),
            (Decimal("1.10"), {TAG: "decimal", "value": "1.10"}),
            (dt.timedelta(-1, 5, 9), {TAG: "timedelta", "value": [-1, 5, 9]}),
            (dt.date(2024, 5, 1), {TAG: "date", "value": "2024-05-01"}),
            (dt.time(9, 30), {TAG: "time", "value": "09:30:00"}),
            (dt.time(9, tzinfo=PARIS), {TAG: "time", "value": ["09:00:00", "Europe/Paris", 0]}),
            (dt.datetime(2024, 5, 1), {TAG: "datetime", "value": "2024-05-01T00:00:00"}),
            (
                dt.datetime(2024, 5, 1, tzinfo=dt.UTC),
                {TAG: "datetime", "value": "2024-05-01T00:00:00+00:00"},
            ),
            (
                dt.datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=PARIS),
                {TAG: "datetime", "value": ["2024-10-27T02:30:00+01:00", "Europe/Paris", 1]},
            ),
        ],
    )
    def test_value_is_stored_in_the_form_that_old_rows_have(self, value, expected):
        assert ([expected], {}) == encode("n", [value], {}, max_size=LARGE)

    def test_time_zone_that_changed_its_rules_keeps_the_wall_clock(self):
        stored = {TAG: "datetime", "value": ["2024-07-01T12:00:00+01:00", "Europe/Paris", 0]}

        ((actual,), _) = decode([stored], {})

        assert dt.datetime(2024, 7, 1, 12, tzinfo=PARIS) == actual
