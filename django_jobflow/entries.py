"""The entries of ``errors``: what a record keeps of an attempt that failed."""

from __future__ import annotations

from typing import Any

from django_jobflow.arguments.quoting import without
from django_jobflow.attempts import Reservation
from django_jobflow.declare.secrecy import secrecy_of
from django_jobflow.outcomes import MESSAGE_LIMIT, TRACEBACK_LIMIT, ErrorInfo

FULL = 50  # entries of one record that are kept in full
BRIEF_MESSAGE = 500  # characters of the message of a later one, which has no traceback


def entry(error: ErrorInfo, reservation: Reservation) -> dict[str, Any]:
    """Return what is kept of an error, with dots where it quotes what is not to be seen."""
    secrecy = secrecy_of(reservation.name)
    hidden = secrecy.hidden(reservation.args, reservation.kwargs)
    message, trace = error.message, error.traceback
    if hidden:
        is_cut = len(message) >= MESSAGE_LIMIT
        message = without(message, hidden, cut="end" if is_cut else None)[:MESSAGE_LIMIT]
        is_cut = len(trace) >= TRACEBACK_LIMIT
        trace = without(trace, hidden, cut="start" if is_cut else None)[-TRACEBACK_LIMIT:]
    if isinstance(reservation.errors, list) and len(reservation.errors) >= FULL:
        # A row that is written again with each attempt must not grow for ever.
        message, trace = message[:BRIEF_MESSAGE], ""
    return own_entry(
        ErrorInfo(error.exception, message, trace), reservation.attempt, reservation.worker
    )


def with_entry(errors: Any, more: dict[str, Any]) -> list[Any]:
    """Return *errors* and one *more*; a row may hold anything that was written by hand."""
    return [*errors, more] if isinstance(errors, list) else [errors, more]


def own_entry(error: ErrorInfo, number: int, worker: str | None) -> dict[str, Any]:
    """Return what is kept of an error that no body has raised, and so quotes no argument."""
    return {
        "number": number,
        "worker": worker,
        "exception": error.exception,
        "message": error.message,
        "traceback": error.traceback,
    }
