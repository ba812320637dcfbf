"""The options of one enqueue, as ``Job.using`` takes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from django.utils import timezone

from django_jobflow import conf
from django_jobflow.arguments import encode
from django_jobflow.declare.options import read_option, refuse_unknown
from django_jobflow.exceptions import InvalidJob, checked_delay, unexpected
from django_jobflow.sentences import Sentence
from django_jobflow.sentences import noop as _

KEY_LENGTH = 255  # characters of a key
PARTITION_LENGTH = 100  # characters of a partition's name
EXCLUSIVE = (("delay", "run_at"), ("expires_in", "expires_at"))
MOST_TAGS = 100  # of one record


def read_call_options(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    refuse_unknown(name, options, READERS)
    for one, other in EXCLUSIVE:
        if options.get(one) is not None and options.get(other) is not None:
            raise InvalidJob(
                f"{name}: expected {one} or {other}, got both: {one}={options[one]!r}, "
                f"{other}={options[other]!r}."
            )
    given = {option: value for option, value in options.items() if value is not None}
    if "timeout" in options:  # None is a value of its own: no limit
        given["timeout"] = options["timeout"]
    return {option: READERS[option](name, option, value) for option, value in given.items()}


def _declared(name: str, option: str, value: Any) -> Any:
    return read_option(name, option, value)


def _delay(name: str, option: str, value: Any) -> timedelta:
    return checked_delay(name, value)


def _span(name: str, option: str, value: Any) -> timedelta:
    try:
        span = checked_delay(name, value, option)
    except InvalidJob:
        span = None
    if not span:
        raise unexpected(name, option, "seconds or a timedelta, above 0 to 100 years", value)
    return span


def read_moment(name: str, option: str, value: Any) -> datetime:
    """Return *value* as a moment, checked: aware where ``USE_TZ`` is on."""
    if not isinstance(value, datetime):
        raise unexpected(name, option, "a datetime", value)
    if not conf.has_time_zones():
        return timezone.make_naive(value) if timezone.is_aware(value) else value
    if timezone.is_naive(value):
        raise unexpected(name, option, "an aware datetime, since USE_TZ is on", value)
    try:
        value.astimezone(UTC)
    except OverflowError:
        expected = "a datetime that is one of the years 1 to 9999 in UTC, too"
        raise unexpected(name, option, expected, value) from None
    return value


def _batch(name: str, option: str, value: Any) -> Any:
    meta = getattr(value, "_meta", None)
    is_batch = getattr(meta, "label_lower", "") == "jobflow.batch" and not isinstance(value, type)
    if not is_batch or value._state.adding or value.pk is None:
        raise unexpected(name, option, "a batch from Batch.objects.open()", value)
    return value


def _alias(name: str, option: str, value: Any) -> str:
    aliases = conf.database_aliases()
    if value not in aliases:
        raise unexpected(name, option, f"one of the aliases in DATABASES {aliases}", value)
    return value  # type: ignore[no-any-return]


def read_text(name: str, option: str, value: Any, length: int) -> str:
    """Return *value* as a text that every database holds, checked."""
    if isinstance(value, str) and len(value) <= length and _is_storable(value):
        return str(value)
    expected = _("at most %(most)s characters without NUL or lone surrogates")
    raise unexpected(name, option, Sentence(expected, most=length), value)


def _partition(name: str, option: str, value: Any) -> str:
    return read_text(name, option, value, PARTITION_LENGTH)


def read_key(name: str, option: str, value: Any) -> str | None:
    if value is None:
        return None
    if value == "" or not isinstance(value, str):
        expected = _("text of 1 to %(most)s characters, or None")
        raise unexpected(name, option, Sentence(expected, most=KEY_LENGTH), value)
    return read_text(name, option, value, KEY_LENGTH)


def _tags(name: str, option: str, value: Any) -> list[str]:
    is_list = isinstance(value, Iterable) and not isinstance(value, str)
    tags = list(islice(value, MOST_TAGS + 1)) if is_list else []
    if not is_list or len(tags) > MOST_TAGS:
        raise unexpected(name, option, f"a list of at most {MOST_TAGS} short texts", value)
    return [read_text(name, "each of tags", tag, PARTITION_LENGTH) for tag in tags]


def _meta(name: str, option: str, value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        meta = dict(value)
        if encode(name, (), meta, max_size=conf.current().MAX_ARGUMENTS_SIZE)[1] == meta:
            return meta
    raise unexpected(name, option, "a dict with text keys and plain JSON in it", value)


def _is_storable(text: str) -> bool:
    return "\x00" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


READERS: dict[str, Callable[[str, str, Any], Any]] = {
    "delay": _delay,
    "run_at": read_moment,
    "queue": _declared,
    "priority": _declared,
    "max_attempts": _declared,
    "timeout": _declared,
    "queue_key": read_key,
    "execution_key": read_key,
    "unique_for": _declared,
    "debounce": _declared,
    "debounce_max": _declared,
    "partition": _partition,
    "tags": _tags,
    "meta": _meta,
    "notify": _declared,
    "keep_logs": _declared,
    "expires_at": read_moment,
    "expires_in": _span,
    "batch": _batch,
    "database": _alias,
}
