"""What the options of the commands take."""

from __future__ import annotations

import argparse
import re
from datetime import datetime, timedelta

from django.utils import timezone

from django_jobflow import conf
from django_jobflow.declare.options import read_option
from django_jobflow.exceptions import InvalidJob, checked_delay
from django_jobflow.observe import SUCCEEDED
from django_jobflow.quotas import is_count, read_rate
from django_jobflow.search.keys import UNITS
from django_jobflow.states import JobState

WRONG_USAGE = 2  # the status at the end, as argparse has it
LARGEST_ID = 2**63 - 1


def queue_names(text: str) -> tuple[str, ...]:
    """Read a list of queues, separated by commas."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise argparse.ArgumentTypeError(f"expected queue names separated by commas, got {text!r}")
    try:
        return tuple(read_option("--queues", "queue", name) for name in names)
    except InvalidJob as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def seconds(text: str) -> timedelta:
    """Read a duration."""
    try:
        return checked_delay("", float(text))
    except (ValueError, InvalidJob) as error:
        raise argparse.ArgumentTypeError(f"expected seconds, from 0, got {text!r}") from error


def from_zero(text: str) -> int:
    """Read a whole number from 0."""
    if text.isdecimal() and len(text) <= 10:
        return int(text)
    raise argparse.ArgumentTypeError(f"expected a whole number from 0, got {text!r}")


def database_alias(text: str) -> str:
    """Read the alias of a database."""
    if text in conf.database_aliases():
        return text
    raise argparse.ArgumentTypeError(
        f"expected one of the aliases in DATABASES {conf.database_aliases()}, got {text!r}"
    )


def text(value: str) -> str:
    """Read what is compared with a column of text."""
    if "\0" in value or (not value.isascii() and value != value.encode(errors="ignore").decode()):
        raise argparse.ArgumentTypeError(f"expected text, got {value!r}")
    return value


def state_word(value: str) -> str:
    """Read a state, in whatever case, or ``succeeded``."""
    word = value.upper().replace("-", "_")
    known = [*JobState.values, SUCCEEDED]
    if word in known:
        return word
    listed = ", ".join(known).lower()
    raise argparse.ArgumentTypeError(f"expected one of {listed}, got {value!r}")


def job_id(value: str) -> int:
    """Read the number of a job."""
    return _number(value, "a job")


def batch_id(value: str) -> int:
    """Read the number of a batch."""
    return _number(value, "a batch")


def _number(value: str, of: str) -> int:
    if value.isdecimal() and value.isascii() and 0 < int(value[:20]) <= LARGEST_ID:
        return int(value)
    raise argparse.ArgumentTypeError(f"expected the number of {of}, got {value!r}")


def from_one(value: str) -> int:
    """Read a whole number from 1."""
    number = int(value) if value.isdecimal() and len(value) <= 10 else 0
    if is_count(number):
        return number
    raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {value!r}")


def rate(value: str) -> tuple[int, timedelta]:
    """Read so many in a time."""
    found = read_rate(value)
    if found is None:
        raise argparse.ArgumentTypeError(f"expected so many in a time, as 100/m, got {value!r}")
    return found


def moment(value: str) -> datetime:
    """Read a moment, in the time zone of the project if it names none."""
    try:
        found = datetime.fromisoformat(value)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"expected a moment, as 2030-01-31T18:00+01:00, got {value!r}"
        ) from error
    return timezone.make_aware(found) if timezone.is_naive(found) else found


def span(value: str) -> timedelta:
    """Read a span of time: seconds, or a number with one of the units s, m, h, d and w."""
    found = re.fullmatch(rf"(\d+(?:\.\d+)?)([{''.join(UNITS)}]?)", value, re.ASCII)
    try:
        if found:
            return timedelta(**{UNITS[found[2]]: float(found[1])})
    except OverflowError:
        pass
    raise argparse.ArgumentTypeError(
        f"expected seconds, or a number with s, m, h, d or w, got {value!r}"
    )
