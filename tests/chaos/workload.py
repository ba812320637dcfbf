"""What is enqueued, in transactions of which some are rolled back, and how each is to end."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

SUCCEEDED, FAILED, CANCELLED = "SUCCEEDED", "FAILED", "CANCELLED"

ROLLED_BACK = 0.15  # of the transactions
MOST = 12  # jobs in one transaction
GROUPS = 3  # execution keys


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of job.

    Attributes:
        share: How often it comes, beside the others.
        end: How it ends when it is let.
        effects: Rows that it leaves in the transaction of its end. None means that it writes none.
        arguments: Makes its arguments, beside the key.
        failures: The exceptions that it raises itself.
        asks: Whether its body uses the database, whose trouble is then its own.
        attempts: Of its own, so that it may be lost.
    """

    share: int
    end: str = SUCCEEDED
    effects: int | None = None
    arguments: Callable[[random.Random], dict[str, Any]] = lambda chance: {}
    failures: frozenset[str] = frozenset()
    asks: bool = False
    attempts: int = 100


def short(chance: random.Random) -> dict[str, Any]:
    return {"seconds": round(chance.uniform(0, 0.05), 3)}


def long(chance: random.Random) -> dict[str, Any]:
    return {"seconds": round(chance.uniform(0.2, 2), 3)}


def in_group(chance: random.Random) -> dict[str, Any]:
    return {"group": chance.randrange(GROUPS), **short(chance)}


def until_soon(chance: random.Random) -> dict[str, Any]:
    return {"until": time.time() + chance.uniform(0, 1)}


KINDS = {
    "Plain": Kind(share=6, arguments=short),
    "Fragile": Kind(share=3, arguments=short, attempts=1),
    "Slow": Kind(share=1, arguments=long),
    "Later": Kind(share=2),
    "Mended": Kind(share=1, failures=frozenset({"builtins.ValueError"})),
    "Awaited": Kind(share=2, arguments=short, asks=True),
    "Recorded": Kind(share=2, asks=True),
    "Written": Kind(share=4, arguments=short, effects=1, asks=True),
    "Grouped": Kind(share=4, effects=1, asks=True),
    "Pipelined": Kind(share=4, effects=1, asks=True),
    "Parent": Kind(share=1, effects=1, asks=True),
    "Keyed": Kind(share=2, arguments=in_group),
    "Snoozed": Kind(share=1, arguments=until_soon),
    "Cancelled": Kind(
        share=1, end=CANCELLED, failures=frozenset({"django_jobflow.exceptions.Cancel"})
    ),
    "Discarded": Kind(
        share=1, end=FAILED, failures=frozenset({"django_jobflow.exceptions.Discard"})
    ),
}
CLASSES = {"Slow": "Plain", "Later": "Plain"}
"""The jobs of those kinds that have none of their own."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """One job to be enqueued."""

    kind: str
    key: str
    arguments: dict[str, Any] = field(default_factory=dict)
    delay: float = 0.0

    @property
    def job(self) -> str:
        return CLASSES.get(self.kind, self.kind)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What one transaction enqueues.

    Attributes:
        ends: "commit", "rollback", or "autocommit": without a transaction, for a single call.
    """

    calls: tuple[Call, ...]
    ends: str


def batches(seed: str) -> Iterator[Batch]:
    """Yield what a producer enqueues; the same for the same *seed*."""
    chance = random.Random(seed)
    number = 0
    while True:
        number += 1
        ends = "rollback" if chance.random() < ROLLED_BACK else "commit"
        size = chance.randint(1, MOST)
        if size == 1 and ends == "commit":
            ends = "autocommit"
        keys = (f"{seed}-{number}-{place}" for place in range(size))
        yield Batch(calls=tuple(_call(key, chance) for key in keys), ends=ends)


def _call(key: str, chance: random.Random) -> Call:
    [kind] = chance.choices(list(KINDS), [each.share for each in KINDS.values()])
    delay = round(chance.uniform(0.05, 1), 3) if kind == "Later" else 0.0
    return Call(kind=kind, key=key, arguments=KINDS[kind].arguments(chance), delay=delay)
