"""Handing an execution key on to what the same cycle takes.

What comes next in the line of a key is then written once on its way from WAITING to
IN_PROGRESS, where it is among the first of all that the worker may take.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django_jobflow import states
from django_jobflow.attempts import Demand, Ending, Exchange, Reservation, key_digest
from django_jobflow.engines.promoting import Grant, Key, places_of


def leaving_of(endings: Iterable[Ending]) -> list[Ending]:
    """Return those of *endings* that free an execution key."""
    return [
        ending
        for ending in endings
        if ending.reservation.execution_key and ending.state not in states.KEYED
    ]


def can_hand(leaving: Iterable[Ending], demand: Demand) -> bool:
    """Say whether the keys that *leaving* free can be given on by the cycle that takes.

    That is so for successes, whose rows go, of jobs of which one may run for each key.
    """
    return (
        demand.turns is None
        and not (demand.gates or demand.quotas or demand.admits)
        and all(each.state is None and places_of(each.reservation.name) == 1 for each in leaving)
    )


def serves(demand: Demand, reservation: Reservation) -> bool:
    """Say whether *reservation* is on a queue of a *demand* without turns."""
    if demand.queues is None:
        return True
    return reservation.queue in demand.queues and not reservation.partition


def idle_keys(leaving: Sequence[Ending], exchange: Exchange) -> dict[Key, int]:
    """Return the keys that became free with the ends *leaving*, and that nobody has got."""
    taken = {key_of(each) for each in (*exchange.started, *exchange.held)}
    return {
        key_of(each.reservation): 1
        for each in leaving
        if each.reservation.id in exchange.written
        and each.reservation.id not in exchange.passed_on
        and key_of(each.reservation) not in taken
    }


def key_of(reservation: Reservation) -> Key:
    """Return the execution key of *reservation*, in its partition."""
    return reservation.partition, reservation.execution_key or ""


def grant_of(reservation: Reservation) -> Grant:
    """Return the first place of its key for *reservation*, who waits for it."""
    key = key_of(reservation)
    return Grant(reservation.id, key_digest(*key), key)
