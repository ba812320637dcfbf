"""What is kept of the past: sums of periods, and how a percentile is read from them.

Nothing is counted in the tables of jobs. Workers add up what they have settled, and each sum is
one row with numbers by these names, of which those that are zero are left out:

==================  ===============================================================
``succeeded`` …     ends of attempts, by ``OUTCOMES``
``wait0`` …         attempts by how long their job was due before they began
``run0`` …          attempts by how long their body ran
``waiting``         jobs that waited for a worker, in all samples together
``held``            jobs that workers held, in all samples together
``cut``             samples in which more jobs waited than were counted
==================  ===============================================================
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from math import inf, nextafter

OUTCOMES = {
    "job_succeeded": "succeeded",
    "job_retried": "retried",
    "job_failed": "failed",
    "job_discarded": "discarded",
    "job_cancelled": "cancelled",
    "job_snoozed": "snoozed",
    "job_released": "released",
    "job_postponed": "released",
}
"""The word for an end, by the word for the log."""

ENDS = tuple(dict.fromkeys(OUTCOMES.values()))
WAIT, RUN = "wait", "run"
WAITING, HELD, CUT = "waiting", "held", "cut"

EVERY_QUEUE = ""
"""In place of a queue's name, in the rows that have the sums of all queues."""

AS_WRITTEN = 0
"""In place of a length: the numbers of one worker, of the last few seconds."""

MINUTE = 60
LEVELS = {
    MINUTE: timedelta(days=2),
    600: timedelta(days=7),
    3600: timedelta(days=30),
    86400: timedelta(days=36500),
}
"""The lengths of periods in seconds, each with the time for which its sums are kept at most."""

EDGES = tuple(
    digit * 10.0**power for power in range(-3, 5) for digit in (1, 2, 5)
)  # seconds: 1, 2, 5, 10, 20 ms and so on to 50,000 s, about 14 hours
"""Where one class of durations ends and the next begins; each has a word like ``wait3``."""

WORDS = {kind: [f"{kind}{number}" for number in range(len(EDGES) + 1)] for kind in (WAIT, RUN)}

Numbers = Counter[str]


def class_of(seconds: float) -> int:
    """Return the number of the class of durations that *seconds* belong to."""
    return bisect_right(EDGES, seconds)


def beginning(moment: datetime, length: int) -> datetime:
    """Return when the period began in which *moment* is; periods begin by UTC."""
    seconds = moment.timestamp()
    return moment.__class__.fromtimestamp(seconds - seconds % length, moment.tzinfo)


def quantile(numbers: Mapping[str, int], kind: str, share: float) -> float | None:
    """Return the duration that *share* of those in *numbers* do not exceed; None without any.

    Within a class they are taken to be spread evenly. Where they are in the last one, of which
    only the lower edge is known, this is a trifle more than that edge.

    Args:
        kind: ``WAIT`` or ``RUN``.
        share: 0.5 for the median.
    """
    counts = [numbers.get(word, 0) for word in WORDS[kind]]
    wanted = share * sum(counts)
    passed = 0
    for number, count in enumerate(counts):
        if count and passed + count >= wanted:
            if number == len(EDGES):
                return nextafter(EDGES[-1], inf)
            low = EDGES[number - 1] if number else 0.0
            high = EDGES[number]
            return low + (high - low) * (wanted - passed) / count
        passed += count
    return None


def mean(numbers: Mapping[str, int], kind: str) -> float | None:
    """Return the mean of the durations in *numbers*, as well as their classes tell it.

    Args:
        kind: ``WAIT`` or ``RUN``.
    """
    counts = [numbers.get(word, 0) for word in WORDS[kind]]
    if not any(counts):
        return None
    lows, highs = (0.0, *EDGES), (*EDGES, EDGES[-1])
    summed = sum(
        count * (low + high) / 2 for count, low, high in zip(counts, lows, highs, strict=True)
    )
    return summed / sum(counts)


def ends(numbers: Mapping[str, int]) -> int:
    """Return how many attempts have ended, in whatever way."""
    return sum(numbers.get(word, 0) for word in ENDS)
