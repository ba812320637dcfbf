"""The health of a real worker, while it lives and when it has died."""

import signal
from datetime import timedelta

from django_jobflow.health import Finding, Limits, check
from tests.app import jobs

LIMITS = Limits(max_wait=timedelta(0), max_beat=timedelta(seconds=2))


class HealthTests:
    def test_worker_is_alive_until_it_is_killed(self, start_worker, until, tmp_path):
        started = tmp_path / "started"
        jobs.touch_and_wait.enqueue(str(started), str(tmp_path / "never"))
        worker = start_worker(LEASE=2, HEARTBEAT=0.2)
        until(started.exists)

        until(lambda: [] == check(limits=LIMITS).findings)
        worker.send(signal.SIGKILL)
        worker.wait()

        until(
            lambda: [Finding.TOO_FEW_WORKERS, Finding.JOB_LAPSED] == check(limits=LIMITS).findings
        )
        assert 1 == check(limits=LIMITS).seen.silent
