"""Failures on their way into the table: summed up, so that many cost what one costs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django_jobflow.attempts import Ending
from django_jobflow.fingerprints import Fingerprint

MOST = 1000  # kinds that are told apart between two writes


@dataclass(slots=True)
class Failures:
    """Attempts of one job that have failed alike.

    Attributes:
        name: The job's.
        job_id: Of the last one.
    """

    fingerprint: Fingerprint
    name: str
    count: int
    job_id: int


class FailureTally:
    """What has failed since it was written last.

    Of more than 1,000 kinds between two writes the further ones are not counted: a message that
    tells of no kind at all must cost no row for each failure.
    """

    def __init__(self) -> None:
        self._sums: dict[tuple[str, str], Failures] = {}

    def __bool__(self) -> bool:
        return bool(self._sums)

    def note(self, ending: Ending) -> None:
        """Count *ending*, if it is that of a failure."""
        if ending.fingerprint is not None:
            self.add(ending.fingerprint, ending.reservation.name, ending.reservation.id)

    def add(self, fingerprint: Fingerprint, name: str, job_id: int) -> None:
        """Count one failure of the job *name*."""
        key = fingerprint.digest, name
        if (known := self._sums.get(key)) is not None:
            known.count += 1
            known.job_id = job_id
        elif len(self._sums) < MOST:
            self._sums[key] = Failures(fingerprint, name, 1, job_id)

    def sums(self) -> list[Failures]:
        """Return what is to be written."""
        return list(self._sums.values())

    def clear(self) -> None:
        """Begin anew: what there was is written."""
        self._sums.clear()


def tally_of(endings: Iterable[Ending]) -> FailureTally:
    """Return those of *endings* that are failures, summed up."""
    tally = FailureTally()
    for ending in endings:
        tally.note(ending)
    return tally
