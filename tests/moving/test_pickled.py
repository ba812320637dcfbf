import contextlib
import datetime as dt
import pickle
import pickletools
from decimal import Decimal
from uuid import UUID, uuid1

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_jobflow.moving.pickled import Name, read
from django_jobflow.moving.rebuilding import NotPlain

CALLED = []

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.decimals(allow_nan=False)
    | st.uuids()
    | st.dates()
    | st.timedeltas()
    | st.datetimes(timezones=st.none() | st.just(dt.UTC))
    | st.times()
)
PLAIN = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(SCALARS, inner)
        | st.sets(SCALARS)
        | st.frozensets(SCALARS)
    ),
)


class Trap:
    """What runs when the standard library reads it."""

    def __reduce__(self):
        return spring, ("ran",)


def spring(word):
    CALLED.append(word)


class Plain:
    pass


def written(value):
    return pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)


class PlainTests:
    @given(PLAIN)
    def test_plain_data_comes_back(self, value):
        assert value == read(written(value))

    @given(st.datetimes(), st.integers(min_value=-1439, max_value=1439))
    def test_moment_keeps_its_offset_and_its_fold(self, moment, minutes):
        zone = dt.timezone(dt.timedelta(minutes=minutes))
        value = moment.replace(tzinfo=zone, fold=1)

        found = read(written(value))

        assert (value, value.utcoffset(), 1) == (found, found.utcoffset(), found.fold)

    def test_values_that_stand_in_it_twice_come_back(self):
        text, moment = "x" * 300, dt.datetime(2030, 1, 31, tzinfo=dt.UTC)
        value = {"a": [text, text, moment], "b": (moment, uuid1(), Decimal("1.20"))}

        assert value == read(written(value))

    def test_function_is_a_name_and_nothing_else(self):
        assert {"func": Name("pickletools.dis")} == read(written({"func": pickletools.dis}))


class RefusalTests:
    @pytest.mark.parametrize(
        ("value", "why"),
        [
            (Trap(), "it calls tests.moving.test_pickled.spring"),
            (Plain(), "it calls tests.moving.test_pickled.Plain"),
            (complex(1, 2), "it calls builtins.complex"),
            (bytearray(b"x"), "it has the instruction BYTEARRAY8, which plain data does not need"),
            (range(3), "it calls builtins.range"),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_what_calls_something_is_refused_and_not_called(self, value, why):
        with pytest.raises(NotPlain) as caught:
            read(written({"args": [value]}))

        assert why == str(caught.value)
        assert [] == CALLED

    def test_trap_would_have_run(self):
        pickle.loads(written(Trap()))

        assert ["ran"] == CALLED
        CALLED.clear()

    @pytest.mark.parametrize(
        "data", [b"", b"no pickle", b"\x80\x05.", b"\x80\x05e.", b"\x80\x05(h\x07.", b"\x80\x05N"]
    )
    def test_broken_bytes_are_refused(self, data):
        with pytest.raises(NotPlain):
            read(data)

    @given(st.binary(max_size=60))
    def test_any_bytes_are_read_or_refused(self, data):
        with contextlib.suppress(NotPlain):
            read(b"\x80\x05" + data)

    def test_moment_with_wrong_parts_is_refused(self):
        value = written(dt.date(2030, 1, 31)).replace(b"\x07\xee\x01\x1f", b"\x07\xee\x0d\x1f")

        with pytest.raises(NotPlain) as caught:
            read(value)

        assert "it has a datetime.date that is none" == str(caught.value)

    def test_uuid_without_a_number_is_refused(self):
        value = written(UUID(int=7)).replace(b"int", b"int"[::-1])

        with pytest.raises(NotPlain) as caught:
            read(value)

        assert "it has a UUID without a number" == str(caught.value)
