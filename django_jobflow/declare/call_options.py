"""The options of one enqueue, as ``Job.using`` takes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from django_jobflow import conf
from django_jobflow.arguments import encode
from django_jobflow.declare.options import read_option, refuse_unknown
from django_jobflow.exceptions import InvalidJob, checked_delay

KEY_LENGTH = 255  # characters of a key
PARTITION_LENGTH = 100  # characters of a partition's name


def read_call_options(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    refuse_unknown(name, options, READERS)
    if options.get("delay") is not None and options.get("run_at") is not None:
        raise InvalidJob(
            f"{name}: expected delay or run_at, got both: delay={options['delay']!r}, "
            f"run_at={options['run_at']!r}."
        )
    given = {option: value for option, value in options.items() if value is not None}
    if "timeout" in options:  # None is a value of its own: no limit
        given["timeout"] = options["timeout"]
    return {option: READERS[option](name, option, value) for option, value in given.items()}


def _declared(name: str, option: str, value: Any) -> Any:
    return read_option(name, option, value)


def _wrong(name: str, option: str, expected: str, value: Any) -> InvalidJob:
    return InvalidJob(f"{name}: expected {option} to be {expected}, got {value!r}.")


def _delay(name: str, option: str, value: Any) -> timedelta:
    return checked_delay(name, value)


def _moment(name: str, option: str, value: Any) -> datetime:
    if not isinstance(value, datetime):
        raise _wrong(name, option, "a datetime", value)
    if not conf.has_time_zones():
        return timezone.make_naive(value) if timezone.is_aware(value) else value
    if timezone.is_naive(value):
        raise _wrong(name, option, "an aware datetime, since USE_TZ is on", value)
    return value


def _alias(name: str, option: str, value: Any) -> str:
    aliases = conf.database_aliases()
    if value not in aliases:
        raise _wrong(name, option, f"one of the aliases in DATABASES {aliases}", value)
    return value  # type: ignore[no-any-return]


def _text(name: str, option: str, value: Any, length: int) -> str:
    if isinstance(value, str) and len(value) <= length and _is_storable(value):
        return str(value)
    expected = f"at most {length} characters without NUL or lone surrogates"
    raise _wrong(name, option, expected, value)


def _partition(name: str, option: str, value: Any) -> str:
    return _text(name, option, value, PARTITION_LENGTH)


def read_key(name: str, option: str, value: Any) -> str | None:
    if value is None:
        return None
    if value == "" or not isinstance(value, str):
        raise _wrong(name, option, "text of 1 to 255 characters, or None", value)
    return _text(name, option, value, KEY_LENGTH)


def _tags(name: str, option: str, value: Any) -> list[str]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise _wrong(name, option, "a list of short texts", value)
    return [_text(name, "each of tags", tag, PARTITION_LENGTH) for tag in value]


def _meta(name: str, option: str, value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        meta = dict(value)
        if encode(name, (), meta, max_size=conf.current().MAX_ARGUMENTS_SIZE)[1] == meta:
            return meta
    raise _wrong(name, option, "a dict with text keys and plain JSON in it", value)


def _is_storable(text: str) -> bool:
    return "\x00" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


READERS: dict[str, Callable[[str, str, Any], Any]] = {
    "delay": _delay,
    "run_at": _moment,
    "queue": _declared,
    "priority": _declared,
    "max_attempts": _declared,
    "timeout": _declared,
    "queue_key": read_key,
    "execution_key": read_key,
    "partition": _partition,
    "tags": _tags,
    "meta": _meta,
    "expires_at": _moment,
    "database": _alias,
}
