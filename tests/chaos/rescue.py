"""How long it took until what a dead worker held was in good hands again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tests.chaos.invariants import Move
from tests.chaos.stage import Strike

LATE = 2.0  # seconds


@dataclass(frozen=True, kw_only=True)
class Rescue:
    """One record that a victim held.

    Attributes:
        fault: That took its worker.
        freed: Seconds from the fault until it was free, or FAILED for want of an attempt.
        again: Seconds until its next start, or until it was FAILED.
        in_quiet: Whether nothing else was broken meanwhile.
    """

    fault: str
    freed: float
    again: float
    in_quiet: bool


def rescues(strikes: list[Strike], moves: dict[int, list[Move]]) -> list[Rescue]:
    """Return what became of all that the victims of *strikes* held."""
    found = []
    for strike in strikes:
        victims = {f":{pid}:" for pid in strike.victims}
        others = [each for each in strikes if each is not strike]
        for some in moves.values() if victims else ():
            rescue = _rescue(strike, victims, some, others)
            if rescue is not None:
                found.append(rescue)
    return found


def _rescue(
    strike: Strike, victims: set[str], moves: list[Move], others: Iterable[Strike]
) -> Rescue | None:
    held: Move | None = None
    for number, move in enumerate(moves):
        # A server may do what a worker sent it last a little after the worker's death.
        if _is_of(move.holder, victims) and move.at < strike.began + LATE:
            held = move
        elif held is not None and _is_of(move.former, victims) and move.at > strike.began:
            return _from(strike, moves[number:], others)
        else:
            held = None
    return None


def _from(strike: Strike, moves: list[Move], others: Iterable[Strike]) -> Rescue | None:
    freed = moves[0]
    if freed.after not in {"AVAILABLE", "FAILED"}:
        return None  # it had ended when the fault came
    ends = {"FAILED", "IN_PROGRESS"}
    again = next((move for move in moves if move.after in ends), freed)
    return Rescue(
        fault=strike.fault,
        freed=freed.at - strike.began,
        again=again.at - strike.began,
        in_quiet=not any(
            other.began < again.at and (other.ended or again.at) > strike.began for other in others
        ),
    )


def _is_of(worker: str, victims: set[str]) -> bool:
    return any(victim in worker for victim in victims)
