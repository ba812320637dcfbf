"""Pauses and limits: the options that name one, its line in a table, a sentence, and JSON."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from django_jobflow.management.arguments import WRONG_USAGE, text
from django_jobflow.models import LimitKind, Pause, PauseKind
from django_jobflow.observe import LimitFacts, spans
from django_jobflow.observe.blocking import paused
from django_jobflow.quotas import Quota, rate_text
from django_jobflow.sentences import moment

OPTIONS = {
    "queue": ("--queue", "QUEUE", "The queue of this name."),
    "job": ("--name", "NAME", "The job of this name."),
    "partition": ("--partition", "P", "This partition; '' is the common one."),
    "key": ("--key", "KEY", "This execution key."),
}
SUBJECTS = {
    "queue": "Queue",
    "job": "Job",
    "partition": "Partition",
    "key": "Execution key",
}
PAUSE_HEADS = ("paused", "name", "until", "by", "reason", "since")
LIMIT_HEADS = ("limited", "name", "running", "at a time", "rate", "burst", "next start", "set by")
LIMIT_NUMBERS = ("running", "at a time", "burst")

Kinds = type[PauseKind] | type[LimitKind]


def add_named(parser: CommandParser, kinds: Kinds, *, required: bool = False) -> None:
    """Add an option for each kind of thing that can be named, of which one can be used."""
    group = parser.add_mutually_exclusive_group(required=required)
    for kind in kinds.values:
        option, metavar, told = OPTIONS[kind]
        group.add_argument(option, dest=kind, type=text, metavar=metavar, help=told)


def named(options: dict[str, Any], kinds: Kinds) -> dict[str, Any] | None:
    """Return the thing that is named, as the verbs of ``control`` take it; None if none is."""
    given = {kind: options[kind] for kind in kinds.values if options[kind] is not None}
    return given or None


def refuse_without_name(subcommand: str, options: dict[str, Any], settings: list[str]) -> None:
    """Refuse *settings* where it is not said of what they are to be."""
    if used := [name for name in settings if options[name] not in (None, False)]:
        told = ", ".join(f"--{name}" for name in used)
        raise CommandError(
            f"{subcommand}: expected the name of what {told} is for.", returncode=WRONG_USAGE
        )


def pause_row(pause: Pause) -> list[Any]:
    """Return the cells of *pause*."""
    until = None if pause.until is None else moment(pause.until)
    since = spans.distance(pause.created_at)
    return [pause.kind, pause.value, until, pause.by, pause.reason, since]


def pause_sentence(pause: Pause) -> str:
    """Return what *pause* says."""
    return paused(pause, moment)


def pause_json(pause: Pause) -> dict[str, Any]:
    """Return *pause* for JSON."""
    return {
        "kind": pause.kind,
        "name": pause.value,
        "since": pause.created_at,
        "until": pause.until,
        "by": pause.by,
        "reason": pause.reason,
    }


def limit_row(limit: LimitFacts) -> list[Any]:
    """Return the cells of *limit*."""
    quota = limit.quota
    most = "any number" if quota.is_open else quota.concurrency
    running = None if limit.running is None else f"{limit.running:,}"
    next_at = None if limit.next_at is None else moment(limit.next_at)
    return [limit.kind, limit.name, running, most, rate_of(quota), quota.burst, next_at, by(limit)]


def limit_sentence(limit: LimitFacts) -> str:
    """Return what *limit* says."""
    subject, quota = f"{SUBJECTS[limit.kind]} {limit.name!r}", limit.quota
    if quota.is_open:
        return f"{subject} has no limit, set by {by(limit)}."
    parts = []
    if quota.concurrency is not None:
        running = "" if limit.running is None else f" ({limit.running:,} running)"
        parts.append(f"may run {quota.concurrency:,} at a time{running}")
    if quota.rate is not None:
        burst = "" if quota.burst is None else f", {quota.burst:,} at once"
        parts.append(f"may start {rate_of(quota)}{burst}")
    return f"{subject} {' and '.join(parts)}, set by {by(limit)}."


def limit_json(limit: LimitFacts) -> dict[str, Any]:
    """Return *limit* for JSON."""
    quota = limit.quota
    return {
        "kind": limit.kind,
        "name": limit.name,
        "concurrency": quota.concurrency,
        "running": limit.running,
        "rate": quota.rate,
        "period": quota.period,
        "burst": quota.burst,
        "next_at": limit.next_at,
        "is_override": limit.is_override,
        "by": limit.by,
    }


def by(limit: LimitFacts) -> str:
    """Return who has set *limit*."""
    if limit.is_override:
        return limit.by or "an operator"
    return "the code" if limit.kind == LimitKind.JOB else "the settings"


def rate_of(quota: Quota) -> str | None:
    """Return the rate of *quota* as it is written in the settings."""
    if quota.rate is None or quota.period is None:
        return None
    return rate_text(quota.rate, quota.period)
