"""Everything that can be passed to a job, and what databases make of stored JSON."""

import datetime as dt
import json
from decimal import Decimal

from hypothesis import strategies as st

from tests.arguments.samples import Access, Colour, Level, Mode, Parcel, Ratio, Size

TAG = "$jobflow"
SURROGATES = ("Cs",)

texts = st.text(st.characters(exclude_categories=SURROGATES, exclude_characters="\0"))
zones = st.timezones()
offsets = st.integers(-86399, 86399).map(lambda seconds: dt.timezone(dt.timedelta(0, seconds)))
folds = st.sampled_from([0, 1])


def folded(values):
    """Give about half of the *values* the fold."""
    return st.builds(lambda value, fold: value.replace(fold=fold), values, folds)


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=-(10**60), max_value=10**60),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([-0.0, 1e16, 9999999999999998.0, 1e-05, 0.0001, 1e22, 5e-324, 1.7e308]),
    texts,
    st.just(TAG),
    st.binary(),
    folded(st.datetimes(timezones=st.none() | offsets | zones)),
    st.dates(),
    folded(st.times(timezones=st.none() | offsets | zones)),
    st.timedeltas(),
    st.decimals(allow_nan=False, allow_infinity=False),
    st.uuids(),
    st.sampled_from([*Colour, *Level, *Size, *Ratio, *Mode, *Access, *Parcel.Status]),
    st.sampled_from([Access(0), Access.READ | Access.ADMIN, Mode(0), Mode.FAST | Mode.SAFE]),
)
hashables = st.recursive(
    scalars,
    lambda children: (
        st.lists(children, max_size=3).map(tuple) | st.frozensets(children, max_size=3)
    ),
    max_leaves=4,
)


def containers(children):
    return st.one_of(
        st.lists(children, max_size=4),
        st.lists(children, max_size=4).map(tuple),
        st.dictionaries(texts | st.just(TAG) | st.just("value"), children, max_size=4),
        st.dictionaries(hashables, children, max_size=4),
        st.sets(hashables, max_size=4),
        st.frozensets(hashables, max_size=4),
    )


values = st.recursive(scalars, containers, max_leaves=8)


def same(expected, actual):
    """Tell whether two values are equal and of the same types throughout."""
    if type(expected) is not type(actual) or expected != actual:
        return False
    match expected:
        case list() | tuple():
            return all(map(same, expected, actual))
        case dict():
            return typed(expected) == typed(actual) and all(
                same(value, actual[key]) for key, value in expected.items()
            )
        case set() | frozenset():
            return typed(expected) == typed(actual)
        case dt.datetime() | dt.time():
            return moment(expected) == moment(actual)
        case _:
            return repr(expected) == repr(actual)


def typed(members):
    """Return the members by type too, since 1, 1.0 and True are equal."""
    return {(type(member), member) for member in members}


def moment(value):
    zone = value.tzinfo
    offset = zone.utcoffset(None) if isinstance(zone, dt.timezone) else zone
    return value.replace(tzinfo=None), value.fold, offset


def as_text(stored):
    """Return what a column that keeps the text gives back."""
    return json.loads(json.dumps(stored))


def as_jsonb(stored):
    """Return what PostgreSQL's jsonb gives back: numerics, and keys in an order of its own."""
    text = json.dumps(json.loads(json.dumps(stored), parse_float=Numeric), cls=NumericEncoder)
    return json.loads(text, object_pairs_hook=lambda pairs: dict(sorted(pairs)))


class Numeric(Decimal):
    pass


class NumericEncoder(json.JSONEncoder):
    """Writes each number as the type numeric does: without exponent, zero without sign."""

    def encode(self, o):
        match o:
            case Numeric():
                return f"{abs(o) if o.is_zero() else o:f}"
            case list():
                return f"[{','.join(map(self.encode, o))}]"
            case dict():
                return f"{{{','.join(f'{json.dumps(k)}:{self.encode(v)}' for k, v in o.items())}}}"
            case _:
                return super().encode(o)
