import collections
import datetime as dt
import json
from decimal import Decimal

import pytest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy
from hypothesis import given
from hypothesis import strategies as st

from django_jobflow.arguments import encode_result
from django_jobflow.exceptions import InvalidResult
from tests.arguments.samples import Colour, Level, Size
from tests.arguments.strategies import texts

NAME = "shop.jobs.SendReceipt"
EXPECTED = f"{NAME}: expected perform to return JSON, got "
LARGE = 10**6

Point = collections.namedtuple("Point", "x y")

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda children: st.lists(children) | st.dictionaries(texts, children),
    max_leaves=10,
)


def refusal(value):
    with pytest.raises(InvalidResult) as caught:
        encode_result(NAME, value, max_size=LARGE)
    return str(caught.value)


class EncodeResultTests:
    @given(value=plain)
    def test_json_is_returned_as_it_is(self, value):
        actual = encode_result(NAME, value, max_size=LARGE)

        assert json.dumps(value) == json.dumps(actual)

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (None, None),
            ((1, (2,)), [1, [2]]),
            (Point(1, 2), [1, 2]),
            (collections.Counter("aab"), {"a": 2, "b": 1}),
            ({SafeString("a"): SafeString("b")}, {"a": "b"}),
            (Level.LOW, 1),
            ([Size.SMALL], ["s"]),
            (10**30, 10**30),
            ({"$jobflow": 1}, {"$jobflow": 1}),
        ],
    )
    def test_relatives_of_json_become_plain(self, value, expected):
        actual = encode_result(NAME, value, max_size=LARGE)

        assert (type(expected), repr(expected)) == (type(actual), repr(actual))

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ({"total": Decimal(1)}, "Decimal('1') at result['total']."),
            (dt.date(2024, 5, 1), "datetime.date(2024, 5, 1) at result."),
            (b"x", "b'x' at result."),
            ({1, 2}, "{1, 2} at result."),
            ([{"a": {1: 2}}], "the key 1 at result[0]['a']."),
            (Colour.RED, "<Colour.RED: 'red'> at result."),
            ("\0", r"a NUL character in '\x00' at result."),
            ({"\ud800": 1}, r"a lone surrogate in '\ud800' at result['\ud800']."),
            ([float("nan")], "nan at result[0]."),
            (gettext_lazy("x"), "a lazy text (__proxy__) at result. Call str() on it."),
            (range(2), "range(0, 2) at result. Turn it into a list."),
        ],
    )
    def test_anything_else_is_refused_with_the_way_to_it(self, value, expected):
        assert EXPECTED + expected == refusal(value)

    def test_int_that_python_does_not_write_down_is_refused(self):
        expected = "an int of more than 4300 digits at result. Pass it as bytes."
        assert EXPECTED + expected == refusal(10**4300)

    def test_error_is_a_type_error(self):
        assert issubclass(InvalidResult, TypeError)

    def test_result_that_contains_itself_is_refused(self):
        circle = [1]
        circle.append({"again": circle})

        assert f"{EXPECTED}a list that contains itself at result." == refusal(circle)

    def test_result_nested_too_deep_is_refused(self):
        value = 1
        for _ in range(23):
            value = [value]

        assert refusal(value).startswith(f"{EXPECTED}JSON of more than 22 levels at result[0]")

    def test_too_much_is_told_in_bytes(self):
        with pytest.raises(InvalidResult) as caught:
            encode_result("shop.jobs.Import", "x" * 100, max_size=100)

        assert (
            "shop.jobs.Import: expected a result of at most 100 bytes, got 102. "
            "Store the data and return its key."
        ) == str(caught.value)
