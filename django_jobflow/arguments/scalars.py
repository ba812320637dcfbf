"""How single values are written into JSON and read from it, one pair of functions a type."""

from __future__ import annotations

import base64
import math
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django_jobflow.arguments.form import Json, tagged
from django_jobflow.arguments.refusal import Refusal, shown
from django_jobflow.sentences import Sentence
from django_jobflow.sentences import noop as _

MIN_INT = -(2**63)
MAX_INT = 2**63 - 1


def as_is(value: Any) -> Any:
    return value


def checked_text(value: str) -> str:
    """Return *value*, unless it is a text that no database stores as JSON."""
    if "\0" in value:
        raise Refusal(Sentence(_("a NUL character in %(text)s"), text=shown(value)))
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise Refusal(Sentence(_("a lone surrogate in %(text)s"), text=shown(value))) from None
    return value


def checked_int(value: int) -> str:
    """Return the digits of *value*, unless Python refuses to write them down."""
    try:
        return int.__repr__(value)
    except ValueError:
        raise Refusal(
            Sentence(_("an int of more than %(most)s digits"), most=sys.get_int_max_str_digits()),
            advice=Sentence(_("Pass it as bytes.")),
        ) from None


def checked_float(value: float) -> str:
    """Return the shortest digits of *value*, unless it is NaN or infinite."""
    text = float.__repr__(value)
    if not math.isfinite(value):
        raise Refusal(text)
    return text


def write_int(value: int) -> Json:
    # MySQL keeps larger numbers as doubles, and json refuses more than 4300 digits.
    return value if MIN_INT <= value <= MAX_INT else tagged("int", checked_int(value))


def write_float(value: float) -> Json:
    # jsonb stores a numeric: 1e16 comes back as an int, and -0.0 without its sign.
    text = checked_float(value)
    return tagged("float", text) if "e" in text or text == "-0.0" else value


def write_decimal(value: Decimal) -> Json:
    if not value.is_finite():
        raise Refusal(shown(value))
    return tagged("decimal", Decimal.__str__(value))


def write_bytes(value: bytes) -> Json:
    return tagged("bytes", base64.b64encode(value).decode("ascii"))


def write_uuid(value: UUID) -> Json:
    return tagged("uuid", UUID.__str__(value))


def write_datetime(value: datetime) -> Json:
    return tagged("datetime", zoned(value, datetime.isoformat(value)))


def write_date(value: date) -> Json:
    return tagged("date", date.isoformat(value))


def write_time(value: time) -> Json:
    return tagged("time", zoned(value, time.isoformat(value)))


def write_timedelta(value: timedelta) -> Json:
    return tagged("timedelta", [value.days, value.seconds, value.microseconds])


def zoned(value: datetime | time, text: str) -> Json:
    """Return *text*, with the zone and the fold where it does not tell them."""
    zone = zone_key(value.tzinfo)
    return text if zone is None and not value.fold else [text, zone, value.fold]


def zone_key(zone: tzinfo | None) -> str | None:
    """Return the key of a ZoneInfo, or None where the UTC offset tells everything."""
    if zone is None or zone is UTC:
        return None
    # Python 3.13 reads "+00:00:00.000001" as UTC.
    if isinstance(zone, timezone) and not zone.utcoffset(None).microseconds:
        return None
    key = getattr(zone, "key", None)
    if not issubclass(type(zone), ZoneInfo) or not is_known_zone(key):
        raise Refusal(
            f"the time zone {shown(zone)}",
            advice="Use a ZoneInfo with a key or a timezone of whole seconds.",
        )
    return str(key)


def is_known_zone(key: str | None) -> bool:
    try:
        return bool(key and zone_of(key))
    except (ValueError, KeyError):  # a ZoneInfo made from a file has any key or none
        return False


def zone_of(key: str) -> ZoneInfo:
    """Return the zone of this key.

    Raises:
        ValueError, KeyError: There is none.
    """
    try:
        return ZoneInfo(key)
    except OSError as error:  # the name of a directory, such as Europe
        raise ValueError(str(error)) from error


def read_text(stored: Any) -> str:
    if type(stored) is not str:
        raise TypeError("not a text")
    return stored


def read_int(stored: Any) -> int:
    return int(read_text(stored))


def read_float(stored: Any) -> float:
    return float(read_text(stored))


def read_decimal(stored: Any) -> Decimal:
    return Decimal(read_text(stored))


def read_bytes(stored: Any) -> bytes:
    return base64.b64decode(read_text(stored), validate=True)


def read_uuid(stored: Any) -> UUID:
    return UUID(read_text(stored))


def read_datetime(stored: Any) -> datetime:
    if type(stored) is str:
        return datetime.fromisoformat(stored)
    text, zone, fold = stored
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=zone_of(zone) if zone else moment.tzinfo, fold=fold)


def read_date(stored: Any) -> date:
    return date.fromisoformat(stored)


def read_time(stored: Any) -> time:
    if type(stored) is str:
        return time.fromisoformat(stored)
    text, zone, fold = stored
    clock = time.fromisoformat(text)
    return clock.replace(tzinfo=zone_of(zone) if zone else clock.tzinfo, fold=fold)


def read_timedelta(stored: Any) -> timedelta:
    days, seconds, microseconds = stored
    return timedelta(days=days, seconds=seconds, microseconds=microseconds)


WRITERS: dict[type, Callable[[Any], Json]] = {
    type(None): as_is,
    bool: as_is,
    int: write_int,
    str: checked_text,
    float: write_float,
    datetime: write_datetime,
    date: write_date,
    time: write_time,
    timedelta: write_timedelta,
    Decimal: write_decimal,
    UUID: write_uuid,
    bytes: write_bytes,
}

READERS: dict[str, Callable[[Any], Any]] = {
    "int": read_int,
    "float": read_float,
    "datetime": read_datetime,
    "date": read_date,
    "time": read_time,
    "timedelta": read_timedelta,
    "decimal": read_decimal,
    "uuid": read_uuid,
    "bytes": read_bytes,
}

# For subclasses: the base's own value, whatever the subclass has overridden.
PLAIN: dict[type, Callable[[Any], Any]] = {
    int: int.__int__,
    str: str.__str__,
    float: float.__float__,
}
