"""What the options of the commands take."""

from __future__ import annotations

import argparse
import re
from datetime import timedelta

from django_jobflow import conf
from django_jobflow.declare.options import read_option
from django_jobflow.exceptions import InvalidJob, checked_delay
from django_jobflow.observe import SUCCEEDED
from django_jobflow.states import JobState

LARGEST_ID = 2**63 - 1
UNITS = {"": "seconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


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
    if text.isdecimal():
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
    if value.isdecimal() and value.isascii() and 0 < int(value[:20]) <= LARGEST_ID:
        return int(value)
    raise argparse.ArgumentTypeError(f"expected the number of a job, got {value!r}")


def span(value: str) -> timedelta:
    """Read a span of time: seconds, or a number with one of the units s, m, h and d."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", value, re.ASCII)
    try:
        if found:
            return timedelta(**{UNITS[found[2]]: float(found[1])})
    except OverflowError:
        pass
    raise argparse.ArgumentTypeError(
        f"expected seconds, or a number with s, m, h or d, got {value!r}"
    )
