"""The keys of the search language, and what each takes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.utils import timezone

from django_jobflow import conf
from django_jobflow.exceptions import InvalidJob, checked_delay
from django_jobflow.search.terms import Scalar, Text
from django_jobflow.sentences import Sentence
from django_jobflow.sentences import noop as _
from django_jobflow.states import JobState

SUCCEEDED = "SUCCEEDED"
WORD = ""
"""The key of a bare word, which a job's name contains."""

IS = (":",)
COMPARISONS = (">=", "<=", ">", "<")
LARGEST = 2**63 - 1
UNITS = {"": "seconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Mistake(Exception):
    """What a value should have been.

    Args:
        expected: That in English, as catalogues have it.
        told: What is put in, by name.
    """

    def __init__(self, expected: str, /, **told: Any) -> None:
        super().__init__(Sentence(expected, **told))


@dataclass(frozen=True, slots=True)
class Key:
    """What can stand before a sign.

    Attributes:
        name: The word.
        read: Makes a value of a text, given whether it stood in quotes.
        signs: What may stand behind it.
        is_list: Whether several values may stand behind it, of which one has to hold.
        negates: Whether a minus may stand before it.
        has_members: Whether a dot and a name stand behind it.
    """

    name: str
    read: Callable[[str, bool], Any]
    signs: tuple[str, ...] = IS
    is_list: bool = False
    negates: bool = False
    has_members: bool = False


def _text(text: str, is_quoted: bool) -> Text:
    if text.endswith("*") and not is_quoted:
        if text == "*":
            raise Mistake(_("something before the *"))
        return Text(text[:-1], is_prefix=True)
    return Text(text)


def _exact(text: str, is_quoted: bool) -> Text:
    return Text(text)


def _fingerprint(text: str, is_quoted: bool) -> str:
    if re.fullmatch(r"[0-9a-f]{32}", text, re.ASCII):
        return text
    raise Mistake(_("a fingerprint of 32 digits from 0 to f"))


def _number(text: str, is_quoted: bool) -> int:
    if text.isascii() and text.isdecimal() and len(text) <= 19 and int(text) <= LARGEST:
        return int(text)
    raise Mistake(_("a whole number"))


def _small(text: str, is_quoted: bool) -> int:
    if re.fullmatch(r"-?\d{1,4}", text, re.ASCII):
        return int(text)
    raise Mistake(_("a whole number from -9999 to 9999"))


def _state(text: str, is_quoted: bool) -> str:
    word = text.upper().replace("-", "_")
    known = [*JobState.values, SUCCEEDED]
    if word not in known:
        words = [each.lower() for each in known]
        near = conf.nearest_of(text.lower(), words)
        expected = (
            _("one of %(words)s") if near is None else _("one of %(words)s; perhaps %(near)s")
        )
        raise Mistake(expected, words=", ".join(words), near=repr(near))
    return word


def _span(text: str, is_quoted: bool) -> timedelta:
    found = re.fullmatch(r"(\d{1,12}(?:\.\d{1,6})?)([smhdw]?)", text, re.ASCII)
    try:
        if found:
            return checked_delay("", timedelta(**{UNITS[found[2]]: float(found[1])}))
    except (OverflowError, InvalidJob):
        pass
    raise Mistake(_("a time as 90s, 15m, 6h, 7d or 2w"))


def _moment(text: str, is_quoted: bool) -> datetime | date:
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII):
            day = date.fromisoformat(text)
            local_day(day)
            return day
        moment = datetime.fromisoformat(text)
        has_zone, wants_zone = timezone.is_aware(moment), conf.has_time_zones()
        if has_zone == wants_zone:
            return moment
        return timezone.make_aware(moment) if wants_zone else timezone.make_naive(moment)
    except (ValueError, OverflowError):
        raise Mistake(_("a day as 2030-01-31, or a moment as 2030-01-31T18:00")) from None


def local_day(day: date) -> tuple[datetime, datetime]:
    """Return when *day* begins, and when it has ended, where the project is."""
    begins = datetime.combine(day, datetime.min.time())
    ends = begins + timedelta(days=1)
    if conf.has_time_zones():
        return timezone.make_aware(begins), timezone.make_aware(ends)
    return begins, ends


def _scalar(text: str, is_quoted: bool) -> Scalar:
    if is_quoted:
        return Scalar(text, text, is_quoted=True)
    if re.fullmatch(r"true|false|null|-?\d{1,18}(\.\d{1,15})?", text, re.ASCII):
        try:
            return Scalar(json.loads(text), text)
        except ValueError:  # 007
            pass
    return Scalar(text, text)


KEYS = {
    key.name: key
    for key in (
        Key("id", _number, is_list=True),
        Key("state", _state, is_list=True, negates=True),
        Key("queue", _text, is_list=True, negates=True),
        Key("name", _text, is_list=True, negates=True),
        Key("partition", _text, is_list=True, negates=True),
        Key("tag", _exact),
        Key("worker", _text, is_list=True),
        Key("key", _exact),
        Key("batch", _number),
        Key("error", _text, is_list=True, negates=True),
        Key("fingerprint", _fingerprint),
        Key("arg", _scalar, is_list=True, has_members=True),
        Key("age", _span, signs=COMPARISONS),
        Key("enqueued", _moment, signs=(*IS, *COMPARISONS)),
        Key("due", _moment, signs=(*IS, *COMPARISONS)),
        Key("ended", _moment, signs=(*IS, *COMPARISONS)),
        Key("priority", _small, signs=(*IS, *COMPARISONS), negates=True),
        Key("attempt", _small, signs=(*IS, *COMPARISONS), negates=True),
    )
}
"""All keys but that of a bare word, in the order in which they are offered."""
