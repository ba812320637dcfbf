import collections
import datetime as dt
import io
import json
import re
import struct
from decimal import Decimal
from unittest import mock
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpRequest, QueryDict
from django.utils.functional import SimpleLazyObject
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy, ngettext_lazy
from hypothesis import given
from hypothesis import strategies as st

from django_jobflow.arguments import decode, encode, encode_text
from django_jobflow.exceptions import ArgumentError
from tests.arguments.strategies import scalars

NAME = "shop.jobs.SendReceipt"
EXPECTED = f"{NAME}: expected arguments that can be stored as JSON, got "
LARGE = 10**6

Point = collections.namedtuple("Point", "x y")


class BadRepr:
    def __repr__(self):
        raise RuntimeError


class BadClass(BadRepr):
    @property
    def __class__(self):
        raise RuntimeError


class ManyLines:
    def __repr__(self):
        return "a\nb\0\ud800"


class NotADate(dt.date):
    """As NaT of pandas: a date by type only."""

    def __eq__(self, other):
        return False

    __hash__ = dt.date.__hash__


class Incomparable(str):
    def __eq__(self, other):
        raise RuntimeError

    __hash__ = str.__hash__


class Clock(dt.tzinfo):
    def utcoffset(self, when):
        return dt.timedelta(hours=1)

    def __repr__(self):
        return "Clock()"


class LoudInt(int):
    def __int__(self):
        return 42


def zone_from_file(key):
    counts = struct.pack(">6l", 0, 0, 0, 0, 1, 4)
    data = b"TZif" + bytes(16) + counts + struct.pack(">lbb", 3600, 0, 0) + b"OLY\0"
    return ZoneInfo.from_file(io.BytesIO(data), key=key)


def refusal(value):
    with pytest.raises(ArgumentError) as caught:
        encode(NAME, [], {"order": value}, max_size=LARGE)
    return str(caught.value)


class EncodeTests:
    def test_foreign_object_is_named_with_the_way_to_it(self):
        foreign = object()

        assert f"{EXPECTED}{foreign!r} at kwargs['order']['customer']." == refusal(
            {"id": 1, "customer": foreign}
        )

    @pytest.mark.parametrize(
        ("value", "path"),
        [
            ([0, 1j], "[1]"),
            ((0, 1j), "[1]"),
            ({"a": [{"b": (1j,)}]}, "['a'][0]['b'][0]"),
            ({1: 1j}, "[1]"),
            ({1j: 1}, "[1j]"),
            ({(1, 1j): 1}, "[(1, 1j)][1]"),
            ({1j}, ""),
            ([frozenset([(0, 1j)])], "[0][1]"),
        ],
    )
    def test_path_leads_through_every_container(self, value, path):
        assert f"{EXPECTED}1j at kwargs['order']{path}." == refusal(value)

    def test_path_begins_at_the_argument_by_position(self):
        with pytest.raises(ArgumentError) as caught:
            encode(NAME, [0, [1j]], {}, max_size=LARGE)

        assert f"{EXPECTED}1j at args[1][0]." == str(caught.value)

    def test_text_is_refused_alike(self):
        with pytest.raises(ArgumentError) as caught:
            encode_text(NAME, [], {"order": 1j}, max_size=LARGE)

        assert f"{EXPECTED}1j at kwargs['order']." == str(caught.value)

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ("a\0b", r"a NUL character in 'a\x00b' at kwargs['order']."),
            ("é\ud800", r"a lone surrogate in 'é\ud800' at kwargs['order']."),
            ({"a\0": 1}, r"a NUL character in 'a\x00' at kwargs['order']['a\x00']."),
            ({"\udfff": 1}, r"a lone surrogate in '\udfff' at kwargs['order']['\udfff']."),
            (float("nan"), "nan at kwargs['order']."),
            (float("-inf"), "-inf at kwargs['order']."),
            (type("Real", (float,), {})("nan"), "nan at kwargs['order']."),
            (Decimal("NaN"), "Decimal('NaN') at kwargs['order']."),
            (Decimal("sNaN"), "Decimal('sNaN') at kwargs['order']."),
            (Decimal("Infinity"), "Decimal('Infinity') at kwargs['order']."),
            (
                gettext_lazy("Total"),
                "a lazy text (__proxy__) at kwargs['order']. Call str() on it.",
            ),
            (
                Point(1, 2),
                "Point(x=1, y=2) at kwargs['order'], which is more than a plain tuple. "
                "Turn it into a tuple.",
            ),
            (
                collections.Counter("a"),
                "Counter({'a': 1}) at kwargs['order'], which is more than a plain dict. "
                "Turn it into a dict.",
            ),
            (range(3), "range(0, 3) at kwargs['order']. Turn it into a list."),
            ({}.keys(), "dict_keys([]) at kwargs['order']. Turn it into a list."),
            (
                dt.time(9, tzinfo=Clock()),
                "the time zone Clock() at kwargs['order']. "
                "Use a ZoneInfo with a key or a timezone of whole seconds.",
            ),
            (
                NotADate(2024, 5, 1),
                "NotADate(2024, 5, 1) at kwargs['order'], which is not equal to any plain date.",
            ),
            (
                Incomparable("x"),
                "'x' at kwargs['order'], which is not equal to any plain str.",
            ),
            (ManyLines(), r"a b\x00\ud800 at kwargs['order']."),
            (dict, "<class 'dict'> at kwargs['order']."),
            (bytearray(b"x"), "bytearray(b'x') at kwargs['order']."),
        ],
    )
    def test_refusal_says_what_came_and_what_to_do(self, value, expected):
        assert EXPECTED + expected == refusal(value)

    @pytest.mark.parametrize(
        "value",
        [
            BadRepr(),
            BadRepr,
            len,
            lambda: 1,
            io.StringIO(),
            HttpRequest(),
            QueryDict("a=1"),
            AnonymousUser(),
            SimpleLazyObject(AnonymousUser),
            SimpleLazyObject(dict.fromkeys("ab").keys),
            ngettext_lazy("%d job", "%d jobs", 2),
            (n for n in "ab"),
            map(str, "ab"),
            memoryview(b"ab"),
            collections.deque(),
            collections.defaultdict(list),
            collections.OrderedDict(),
            re.compile("a"),
            mock.Mock(),
            mock.MagicMock(spec=User),
            mock.MagicMock(spec=str),
            json,
            Ellipsis,
            ValueError("x"),
            dt.datetime(2024, 5, 1, tzinfo=Clock()),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_object_that_json_cannot_hold_is_refused(self, value):
        assert refusal(value).startswith(EXPECTED)
        assert len(refusal(value)) < 300

    def test_time_zone_of_a_fraction_of_a_second_is_refused(self):
        zone = dt.timezone(dt.timedelta(microseconds=1))

        expected = (
            f"{EXPECTED}the time zone {zone!r} at kwargs['order']. "
            f"Use a ZoneInfo with a key or a timezone of whole seconds."
        )
        assert expected == refusal(dt.time(9, tzinfo=zone))

    @pytest.mark.parametrize("key", [None, "Mars/Olympus", "Europe", "../etc/passwd"])
    def test_time_zone_that_cannot_be_found_by_its_key_is_refused(self, key):
        moment = dt.datetime(2024, 5, 1, tzinfo=zone_from_file(key))

        assert refusal(moment).startswith(f"{EXPECTED}the time zone zoneinfo.ZoneInfo")
        assert refusal(moment).endswith(
            " Use a ZoneInfo with a key or a timezone of whole seconds."
        )

    def test_object_that_does_not_even_tell_its_class_is_refused(self):
        assert f"{EXPECTED}<BadClass> at kwargs['order']." == refusal(BadClass())

    def test_int_that_python_does_not_write_down_is_refused(self):
        expected = "an int of more than 4300 digits at kwargs['order']. Pass it as bytes."
        assert EXPECTED + expected == refusal(10**4300)

    @pytest.mark.parametrize("value", ["x" * 10_000 + "\0", [[1j] * 10_000], {"k" * 10_000: 1j}])
    def test_error_stays_short(self, value):
        assert len(refusal(value)) < 300

    @given(value=scalars, data=st.data())
    def test_refused_value_is_refused_wherever_it_is(self, value, data):
        bad = data.draw(
            st.sampled_from([object(), float("nan"), "\0", "\ud800", Decimal("NaN"), 1j, len])
        )
        for _ in range(data.draw(st.integers(0, 6))):
            wrap = data.draw(st.sampled_from(WRAPPERS))
            bad = wrap(bad, value)

        for function in (encode, encode_text):
            with pytest.raises(ArgumentError, match=f"^{re.escape(EXPECTED)}"):
                function(NAME, [bad], {}, max_size=LARGE)


WRAPPERS = [
    lambda bad, value: [value, bad],
    lambda bad, value: (bad, value),
    lambda bad, value: {"key": value, "bad": bad},
    lambda bad, value: {1: value, 2: bad},
    lambda bad, value: {1: value, hashable(bad): value},
    lambda bad, value: {hashable(bad)},
    lambda bad, value: frozenset([hashable(bad)]),
    lambda bad, value: SimpleLazyObject(lambda: bad),
]


def hashable(value):
    try:
        hash(value)
    except TypeError:
        return object()
    return value


class NestingTests:
    def test_list_that_contains_itself_is_told_where_the_circle_begins(self):
        circle = []
        circle.append({"again": (circle,)})

        assert f"{EXPECTED}a list that contains itself at kwargs['order']['a']." == refusal(
            {"a": circle}
        )

    def test_dict_that_contains_itself_is_refused(self):
        circle = {1: 2}
        circle["self"] = circle

        assert f"{EXPECTED}a dict that contains itself at kwargs['order']." == refusal(circle)

    @pytest.mark.parametrize(
        ("wrap", "most"),
        [
            (lambda value: [value], 21),
            (lambda value: {"a": value}, 21),
            (lambda value: (value,), 10),
            (lambda value: {1: value}, 7),
        ],
    )
    def test_nesting_ends_before_any_database_does(self, wrap, most):
        value = 1
        for _ in range(most):
            value = wrap(value)

        stored = encode(NAME, [], {"order": value}, max_size=LARGE)

        assert ([], {"order": value}) == decode(*stored)
        assert "got JSON of more than 22 levels at kwargs['order']" in refusal(wrap(value))

    def test_long_path_is_cut_in_the_middle(self):
        value = 1
        for _ in range(30):
            value = {"a long key": value}

        expected = (
            EXPECTED + "JSON of more than 22 levels at "
            "kwargs['order']['a long key']['a long key']['a long key']['a long key']['a long "
            "..."
            "long key']['a long key']['a long key']['a long key']['a long key']['a long key']"
            ". Store the data and pass its key."
        )
        assert expected == refusal(value)

    def test_depth_that_python_cannot_follow_is_refused(self):
        value = []
        for _ in range(100_000):
            value = [value]

        assert "got JSON of more than 22 levels" in refusal(value)
        while value:  # else the garbage collector recurses
            value = value.pop()


class SubclassTests:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (SafeString("<b>"), "<b>"),
            (type("Id", (int,), {})(7), 7),
            (LoudInt(7), 7),
            (type("Real", (float,), {})(1e16), 1e16),
            (type("Day", (dt.date,), {})(2024, 5, 1), dt.date(2024, 5, 1)),
            (type("Moment", (dt.datetime,), {})(2024, 5, 1), dt.datetime(2024, 5, 1)),
            (type("Money", (Decimal,), {})("1.10"), Decimal("1.10")),
            (type("Key", (UUID,), {})(int=5), UUID(int=5)),
            (type("Blob", (bytes,), {})(b"x"), b"x"),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_subclass_of_a_scalar_comes_back_plain(self, value, expected):
        ((actual,), _) = decode(*encode(NAME, [value], {}, max_size=LARGE))

        assert (type(expected), expected) == (type(actual), actual)

    def test_safe_string_as_a_key_comes_back_plain(self):
        ((actual,), _) = decode(*encode(NAME, [{SafeString("a"): 1}], {}, max_size=LARGE))

        assert [str] == [type(key) for key in actual]

    def test_lazy_object_is_what_it_stands_for(self):
        lazy = SimpleLazyObject(lambda: [SafeString("a")])

        assert ([["a"]], {}) == encode(NAME, [lazy], {}, max_size=LARGE)


class SizeTests:
    def test_too_much_is_told_in_bytes(self):
        for function in (encode, encode_text):
            with pytest.raises(ArgumentError) as caught:
                function("shop.jobs.Import", ["é" * 10], {"n": 1}, max_size=70)

            assert (
                "shop.jobs.Import: expected arguments of at most 70 bytes, got 74. "
                "Store the data and pass its key."
            ) == str(caught.value)

    @given(
        args=st.lists(st.integers() | st.booleans() | st.none() | st.floats(1e-4, 1e16)),
        kwargs=st.dictionaries(
            st.sampled_from(["a", "é" * 9, "\U0001d499" * 99]),
            st.integers() | st.text(st.characters(min_codepoint=1, max_codepoint=127)),
        ),
    )
    def test_short_call_that_is_not_measured_would_have_fitted(self, args, kwargs):
        size = len("".join(json.dumps([args, kwargs], separators=(",", ":"))))

        for max_size in range(max(size - 3, 0), size):
            for function in (encode, encode_text):
                with pytest.raises(ArgumentError):
                    function(NAME, args, kwargs, max_size=max_size)
