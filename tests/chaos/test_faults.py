"""Each fault once, under load, and what must hold at the end."""

import random

import environ
import pytest

from tests import databases
from tests.chaos.faults import FAULTS
from tests.chaos.invariants import judge

KIND = databases.kind()
PAUSE = 0.03  # seconds between two transactions of the producer
SOME = 30  # bodies
# Processes that are starved of a core for as long as a lease look like dead ones.
LONG_LEASE, SHORT_LEASE = 30, 4  # seconds; the short one where a fault has to outlast it

# The names of faults, with commas between them, or "all".
ASKED_FOR = "JOBFLOW_TEST_CHAOS"
ASKED = environ.Env().list(ASKED_FOR, default=[])


@pytest.mark.parametrize("name", [name for name, each in FAULTS.items() if KIND in each.on])
def test_nothing_is_lost_and_nothing_done_twice(name, stage):
    if not {name, "all"} & {*ASKED}:
        pytest.skip(f"Name it in {ASKED_FOR}, on a machine with nothing else to do.")
    fault = FAULTS[name]
    lease = SHORT_LEASE if fault.lapses or fault.hosts > 1 else LONG_LEASE
    with stage(hosts=fault.hosts, LEASE=lease) as run:
        if name == "disk full" and not run.database.can_fill:
            pytest.skip("No file system may be mounted here.")
        run.produce(name.replace(" ", "-"), PAUSE)
        run.until(lambda: run.ended() >= SOME, "some work")

        with run.strike(name) as strike, fault.make(run, strike, random.Random(name)) as felt:
            run.until(felt, "the fault")

        before = run.ended()
        run.until(lambda: run.ended() >= before + SOME, "work after the fault")
        assert {0} == set(run.finish()), run.output()
        verdict = judge(run)
    assert [] == verdict.violations
    assert (0, 0) == (verdict.lost, verdict.doubled)
    assert verdict.jobs > SOME
