"""All tools of a test in one object: the fixture ``jobflow``."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import datetime, timedelta

from django_jobflow.testing.asserting import (
    aassert_enqueued,
    aenqueued,
    arefute_enqueued,
    assert_enqueued,
    enqueued,
    refute_enqueued,
)
from django_jobflow.testing.clock import travel
from django_jobflow.testing.draining import adrain, drain
from django_jobflow.testing.inlining import inline
from django_jobflow.testing.single import arun_job, run_job


class Jobflow:
    """The functions of ``django_jobflow.testing``, and a clock that stays where it was moved."""

    drain = staticmethod(drain)
    adrain = staticmethod(adrain)
    run_job = staticmethod(run_job)
    arun_job = staticmethod(arun_job)
    enqueued = staticmethod(enqueued)
    aenqueued = staticmethod(aenqueued)
    assert_enqueued = staticmethod(assert_enqueued)
    aassert_enqueued = staticmethod(aassert_enqueued)
    refute_enqueued = staticmethod(refute_enqueued)
    arefute_enqueued = staticmethod(arefute_enqueued)
    inline = inline

    def __init__(self) -> None:
        self._travels = ExitStack()

    def travel(
        self, delta: float | timedelta | None = None, *, to: datetime | None = None
    ) -> None:
        """Be at another time from now on, to the end of the test; see ``travel``."""
        self._travels.enter_context(travel(delta, to=to))

    def close(self) -> None:
        """Be back in the real time."""
        self._travels.close()
