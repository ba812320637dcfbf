"""Faults at random from a seed, several at a time, for as long as one likes."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Collection

from tests.chaos.faults import FAULTS, Fault
from tests.chaos.stage import Impatient, Stage

PAUSES = {"process": (0.5, 3.0), "database": (0.5, 3.0), "freezer": (5.0, 15.0)}
"""Seconds between two faults of a lane, at least and at most."""
CALM = "calm"
"""The lane of all faults when there is to be one at a time."""
LONG = 0.05  # of the faults that last a while last longer than a lease
WARM_UP = 50  # bodies before the first fault


class Storm:
    """Makes faults, in each lane one after the other.

    Args:
        say: Called with what happens, for those who watch.
        only: The names of the faults to make. None means all.
        calm: Whether to make one at a time, so that each can be looked at alone.
    """

    def __init__(
        self,
        stage: Stage,
        seed: str,
        say: Callable[[str], object],
        *,
        only: Collection[str] | None = None,
        calm: bool = False,
    ) -> None:
        self.stage = stage
        self.seed = seed
        self.say = say
        self.failures: list[BaseException] = []
        self._over = threading.Event()
        faults = [
            each
            for each in FAULTS.values()
            if is_possible(each, stage) and (only is None or each.name in only)
        ]
        self.lanes = {
            lane: [each for each in faults if each.lane == lane]
            for lane in {each.lane for each in faults}
        }
        self.pauses = PAUSES
        if calm:
            self.lanes = {CALM: faults}
            self.pauses = {CALM: (2 * stage.lease, 2 * stage.lease + 1)}

    def rage(self, seconds: float) -> None:
        """Make faults for so long; all of them are made good again at the end."""
        self.stage.until(lambda: self.stage.ended() >= WARM_UP, "some work")
        threads = [
            threading.Thread(target=self._run, args=(lane, seconds), name=lane)
            for lane in self.lanes
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self.failures:
            raise self.failures[0]

    def _run(self, lane: str, seconds: float) -> None:
        chance = random.Random(f"{self.seed} {lane}")
        ends_at = time.monotonic() + seconds
        try:
            while not self._over.wait(chance.uniform(*self.pauses[lane])):
                if time.monotonic() >= ends_at:
                    return
                self._make(chance.choice(self.lanes[lane]), chance)
        except BaseException as error:
            self.failures.append(error)
            self._over.set()

    def _make(self, fault: Fault, chance: random.Random) -> None:
        seconds = chance.uniform(*fault.lasts)
        if fault.lapses or (seconds and chance.random() < LONG):
            seconds = self.stage.lease * chance.uniform(1.1, 1.6)
        with self.stage.strike(fault.name) as strike:
            try:
                with fault.make(self.stage, strike, chance):
                    self._over.wait(seconds)
            except Impatient as error:  # there was nothing to break
                strike.missed = str(error)
        self.say(f"{fault.name}, {strike.missed or f'{seconds:.1f} s'}")


def is_possible(fault: Fault, stage: Stage) -> bool:
    """Say whether *fault* can be made on this stage."""
    return (
        stage.database.kind in fault.on
        and len(stage.hosts) >= fault.hosts
        and (fault.name != "disk full" or stage.database.can_fill)
    )
