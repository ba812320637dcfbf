"""Moments computed from moments: pure functions, one rule for every boundary.

Due when ``available_at <= now``; lapsed when ``expires <= now``; may start while
``expires > now``. Nothing is rounded.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django_jobflow.backoff import Backoff, Exponential, delay_after
from django_jobflow.exceptions import checked_delay


def reservation_expiry(now: datetime, timeout: float | timedelta) -> datetime:
    """Return when a reservation made at *now* lapses.

    Args:
        timeout: Seconds or timedelta.
    """
    return now + checked_delay("reservation_expiry", timeout, "timeout")


def retry_time(
    now: datetime,
    attempt: int,
    *,
    base_delay: float | timedelta = 1,
    backoff: Backoff | None = None,
) -> datetime:
    """Return when to run again after failed attempt *attempt* (from 1) ended at *now*.

    Args:
        base_delay: Seconds or timedelta, doubled after each attempt; not used when
            *backoff* is given.
        backoff: A strategy or any callable of the attempt.
    """
    strategy = backoff or Exponential(base_delay)
    return now + delay_after(strategy, attempt, name="retry_time")
