"""Signals of a job's life; a receiver that raises is logged and never costs a job.

The sender is the declared class, or None when nothing is registered under the name. Each
sends ``record``, a ``JobRecord`` as it is after the change; it is not read again from the
database, but for ``enqueue_many``, which has not made any.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from django.dispatch import Signal

from django_jobflow import events

logger = logging.getLogger("django_jobflow.signals")

job_enqueued = Signal()
job_started = Signal()
job_succeeded = Signal()
job_retried = Signal()
job_failed = Signal()
job_cancelled = Signal()
job_rescued = Signal()

worker_started = Signal()
"""Sent in each worker process as it begins, with ``worker``, its name."""

process_ending = Signal()
"""Sent in each process that has run jobs or rescued some, right before it ends."""

BY_EVENT = {
    "job_succeeded": job_succeeded,
    "job_retried": job_retried,
    "job_failed": job_failed,
    "job_cancelled": job_cancelled,
}
"""The signal of each way in which an attempt ends, by the word of its log line."""


def is_heard(signal: Signal, sender: Any) -> bool:
    """Say whether *signal* has receivers; quickly where there are none of any sender."""
    return bool(signal.receivers) and signal.has_listeners(sender)


def announce(signal: Signal, sender: Any, make_record: Callable[[], Any], **values: Any) -> None:
    """Send *signal*; without receivers it costs a look and no record is made."""
    if not is_heard(signal, sender):
        return
    _send(signal, sender, lambda: {"record": make_record(), **values})


def tell(signal: Signal, **values: Any) -> None:
    """Send *signal* of a process."""
    _send(signal, None, lambda: values)


def _send(signal: Signal, sender: Any, make_values: Callable[[], dict[str, Any]]) -> None:
    try:
        answers = signal.send_robust(sender, **make_values())
    except Exception as error:
        # Django 5.2 to 6.1 cannot log the failure of a receiver that has no __qualname__.
        _log_failure("unnamed", error)
        return
    for receiver, answer in answers:
        if isinstance(answer, Exception):
            _log_failure(receiver.__qualname__, answer)


def _log_failure(receiver: str, error: Exception) -> None:
    events.log(
        logger,
        logging.ERROR,
        "receiver_failed",
        receiver=receiver,
        error=repr(error),
        exc_info=error,
    )
