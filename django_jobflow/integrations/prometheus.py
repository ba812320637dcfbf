"""Numbers of jobs for Prometheus: a view, and a port of the worker.

``MetricsView`` tells what is in the tables; ``runjobs --metrics-port`` that, and how long the
bodies of its processes ran and how they ended.
"""

from __future__ import annotations

import logging
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache

from django_jobflow import events, observe, settle, signals
from django_jobflow.engines import engine_for
from django_jobflow.health import Limits
from django_jobflow.health.asking import ask
from django_jobflow.integrations.around import missing
from django_jobflow.integrations.metering import BOUNDS, Meter, put_together, total
from django_jobflow.views import outside_transactions

try:
    from prometheus_client import (
        CONTENT_TYPE_LATEST,
        CollectorRegistry,
        generate_latest,
        start_http_server,
    )
    from prometheus_client.core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
        Metric,
    )
    from prometheus_client.registry import Collector
except ImportError as error:
    raise missing("prometheus", "prometheus-client", "prometheus") from error

logger = logging.getLogger("django_jobflow.worker")

PAUSE = 1.0  # seconds between two writes, and between two tries to have the port
LABELS = ("job", "queue", "outcome")


class TablesCollector(Collector):
    """What is in the tables: how many jobs, how old, how many workers.

    Args:
        database: Alias of the database. None means JOBFLOW["DATABASE"].
    """

    def __init__(self, database: str | None = None) -> None:
        self.database = database

    def collect(self) -> Iterator[Metric]:
        """Ask the database.

        Database:
            What ``observe.counts`` and a check of the health cost: some twenty statements, each
            along an index and bounded.
        """
        jobs = GaugeMetricFamily(
            "jobflow_jobs",
            "Jobs by queue and state, counted up to 10,000 of each.",
            labels=["queue", "state"],
        )
        counts = observe.counts(self.database)
        for (queue, state), count in counts.by("queue", "state").items():
            if state != observe.SUCCEEDED:  # these are counted as they end, by the workers
                jobs.add_metric([queue, state], count.number)
        yield jobs
        yield from self._ages()

    def _ages(self) -> Iterator[Metric]:
        seen = ask(engine_for(self.database).alias, Limits()).seen
        if seen is None:
            return
        oldest = GaugeMetricFamily(
            "jobflow_oldest_available_seconds",
            "For how long the oldest job that may run waits for a worker, by queue.",
            labels=["queue"],
        )
        for queue, age in seen.waits.items():
            oldest.add_metric([queue], age)
        yield oldest
        workers = GaugeMetricFamily(
            "jobflow_workers", "Worker processes that are alive, or silent.", labels=["state"]
        )
        workers.add_metric(["alive"], seen.alive)
        workers.add_metric(["silent"], seen.silent)
        yield workers


class WorkerCollector(Collector):
    """What the processes of one worker have done.

    Args:
        folder: Where they leave their counts.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def collect(self) -> Iterator[Metric]:
        """Add up the counts of all processes."""
        put_together(self.folder)
        found = total(self.folder)
        ends = CounterMetricFamily("jobflow_ends", "Attempts that have ended.", labels=LABELS)
        for key, (counts, _) in found.ran.items():
            ends.add_metric(key, sum(counts))
        yield ends
        for name, said, by_key in (
            ("jobflow_run_seconds", "How long bodies ran.", found.ran),
            ("jobflow_wait_seconds", "How long jobs that were due waited.", found.waited),
        ):
            family = HistogramMetricFamily(name, said, labels=LABELS)
            for key, (counts, seconds) in by_key.items():
                bounds = [*map(str, BOUNDS), "+Inf"]
                buckets = list(zip(bounds, accumulate(counts), strict=True))
                family.add_metric(key, buckets, seconds)
            yield family


class _OwnConnection(Collector):
    """Closes the connection of its thread, which answers one request, after each answer."""

    def __init__(self, collector: Collector) -> None:
        self.collector = collector

    def collect(self) -> Iterator[Metric]:
        try:
            yield from self.collector.collect()
        except Exception as error:  # without the tables the rest is still of use
            events.log(logger, logging.WARNING, "metrics_failed", error=repr(error))
        finally:
            connections.close_all()


@method_decorator([outside_transactions, login_not_required, never_cache], name="dispatch")
class MetricsView(View):
    """Tell Prometheus what is in the tables.

    It names the queues: let nobody else ask.

    Attributes:
        database: Alias of the database. None means JOBFLOW["DATABASE"].
    """

    http_method_names = ["get", "head"]

    database: str | None = None

    def get(self, request: HttpRequest) -> HttpResponse:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(TablesCollector(self.database))
        return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


@contextmanager
def exposed(address: tuple[str, int], database: str) -> Iterator[None]:
    """Let the worker processes that are started meanwhile answer on one port together."""
    with tempfile.TemporaryDirectory(prefix="jobflow-metrics-") as folder:
        exposure = Exposure(address, database, Path(folder))
        signals.worker_started.connect(exposure.begin)
        signals.process_ending.connect(exposure.end)
        try:
            yield
        finally:
            signals.worker_started.disconnect(exposure.begin)
            signals.process_ending.disconnect(exposure.end)


class Exposure:
    """The port of a worker: that of its processes which has got it answers for all.

    When that one ends, another gets the port within a second.

    Args:
        address: Host and port.
        database: Alias of the database.
        folder: Where the processes leave their counts.
    """

    def __init__(self, address: tuple[str, int], database: str, folder: Path) -> None:
        self.address = address
        self.folder = folder
        self.registry = CollectorRegistry(auto_describe=False)
        for collector in (WorkerCollector(folder), TablesCollector(database)):
            self.registry.register(_OwnConnection(collector))
        self._ended = threading.Event()
        self._meter: Meter | None = None
        self._has_said = False

    def begin(self, **_: Any) -> None:
        """Count what this process does from now on."""
        self._meter = Meter(self.folder)
        settle.meters.append(self._meter)
        self._ended.clear()
        threading.Thread(target=self._run, name="jobflow-metrics", daemon=True).start()

    def end(self, **_: Any) -> None:
        """Leave the counts for the others."""
        self._ended.set()
        if self._meter is not None:
            settle.meters.remove(self._meter)
            self._meter.write()
            self._meter = None

    def _run(self) -> None:
        server = None
        while True:
            if (meter := self._meter) is not None:
                meter.write()
            server = server or self._serve()
            if self._ended.wait(PAUSE):
                break
        if server is not None:
            server.shutdown()
            server.server_close()

    def _serve(self) -> Any:
        host, port = self.address
        try:
            server, _ = start_http_server(port, addr=host, registry=self.registry)
        except OSError as error:  # mostly since another process has it
            if not self._has_said:
                self._has_said = True
                events.log(logger, logging.DEBUG, "metrics_port_taken", error=repr(error))
            return None
        events.log(logger, logging.INFO, "metrics_served", host=host, port=port)
        return server
