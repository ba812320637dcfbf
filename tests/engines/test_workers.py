from django_jobflow.engines.workers import Beat
from django_jobflow.models import StopKind, Worker
from django_jobflow.service import Service
from tests.engines.contract import HOUR, MINUTE, NOON, TICK, Contract
from tests.factories import WorkerFactory


def names():
    return set(Worker.objects.values_list("name", flat=True))


class WorkerTests(Contract):
    def test_worker_that_begins_has_a_row(self):
        before = self.engine.now()

        service = Service(queues=("a", "b"), excluded=("c",), partitions=("", "x"))
        self.engine.register_worker(
            "h:1", host="h", pid=1, threads=4, service=service, names={"b", "a"}
        )

        worker, after = Worker.objects.get(), self.engine.now()
        assert ("h:1", "h", 1, service, 4) == (
            worker.name,
            worker.host,
            worker.pid,
            worker.service,
            worker.threads,
        )
        assert ["a", "b"] == worker.names
        assert before <= worker.started_at <= after
        assert before <= worker.heartbeat_at <= after

    def test_heartbeat_is_that_of_the_clock_of_the_database(self):
        worker, other = WorkerFactory(now=NOON), WorkerFactory(now=NOON)
        before = self.engine.now()

        assert self.engine.beat(worker.name, memory=7)

        assert {7, None} == set(Worker.objects.values_list("memory", flat=True))
        moments = dict(Worker.objects.values_list("name", "heartbeat_at"))
        assert before <= moments[worker.name] <= self.engine.now()
        assert NOON == moments[other.name]

    def test_row_is_gone_and_the_worker_is_told(self):
        WorkerFactory(name="h:2")

        assert not self.engine.beat("h:1")
        assert not self.engine.beat("H:2")

    def test_worker_that_ends_has_no_row(self):
        WorkerFactory(name="h:1")
        WorkerFactory(name="h:2")

        self.engine.remove_worker("h:1")

        assert {"h:2"} == names()

    def test_silent_workers_are_removed(self):
        WorkerFactory(name="silent", heartbeat_at=NOON - MINUTE)
        WorkerFactory(name="alive", heartbeat_at=NOON - MINUTE + TICK)

        assert 1 == self.engine.prune_workers(MINUTE, NOON)
        assert {"alive"} == names()

    def test_silence_is_counted_by_the_clock_of_the_database(self):
        now = self.engine.now()
        WorkerFactory(name="silent", heartbeat_at=now - HOUR)
        WorkerFactory(name="alive", heartbeat_at=now)

        assert 1 == self.engine.prune_workers(MINUTE)
        assert {"alive"} == names()


class StopTests(Contract):
    def asked(self):
        rows = Worker.objects.exclude(stop_requested_at=None)
        return list(rows.order_by("name").values_list("name", "stops", "stop_requested_by"))

    def test_worker_that_was_not_asked_goes_on(self):
        WorkerFactory(name="h:1")

        assert self.engine.stop_request("h:1") is None
        assert not self.engine.glance(None).stopping

    def test_one_process_is_asked_and_no_other(self):
        WorkerFactory(name="h:1", supervisor="h:9")
        WorkerFactory(name="h:2", supervisor="h:9")

        assert ["h:1"] == self.engine.request_stop("h:1", StopKind.PROCESS, "ann", NOON)

        assert [("h:1", "process", "ann")] == self.asked()
        assert (StopKind.PROCESS, "ann") == self.engine.stop_request("h:1")
        assert self.engine.stop_request("h:2") is None
        assert self.engine.glance(None).stopping

    def test_all_processes_of_a_command_are_asked(self):
        for name, supervisor in (("h:2", "h:9"), ("h:1", "h:9"), ("i:1", "i:9"), ("h:3", "")):
            WorkerFactory(name=name, supervisor=supervisor)

        assert ["h:1", "h:2"] == self.engine.request_stop("h:1", StopKind.COMMAND, "ann")

        assert [(name, "command", "ann") for name in ("h:1", "h:2")] == self.asked()

    def test_command_without_a_supervisor_is_its_process(self):
        WorkerFactory(name="h:1")
        WorkerFactory(name="h:2")

        assert ["h:1"] == self.engine.request_stop("h:1", StopKind.COMMAND, "")

    def test_worker_that_is_gone_cannot_be_asked(self):
        WorkerFactory(name="h:1")

        assert [] == self.engine.request_stop("H:1", StopKind.COMMAND, "ann")
        assert [] == self.asked()


class BeatTests(Contract):
    def test_youngest_comes_first_with_what_it_serves(self):
        WorkerFactory(heartbeat_at=NOON - HOUR)
        serves = {"queues": ["a", "b"], "excluded": ["b"], "partitions": ["x"]}
        WorkerFactory(heartbeat_at=NOON - MINUTE, **serves)

        service = Service(queues=("a", "b"), excluded=("b",), partitions=("x",))
        assert [Beat(60.0, service), Beat(3600.0)] == self.engine.beats(9, NOON)

    def test_no_more_are_read_than_are_wanted(self):
        WorkerFactory(heartbeat_at=NOON - HOUR)
        WorkerFactory(heartbeat_at=NOON)

        assert [Beat(0.0)] == self.engine.beats(1, NOON)

    def test_beat_that_is_yet_to_come_has_no_age(self):
        WorkerFactory(heartbeat_at=NOON + TICK)

        assert [Beat(0.0)] == self.engine.beats(9, NOON)

    def test_age_is_counted_by_the_clock_of_the_database(self):
        began = self.engine.now() - HOUR
        WorkerFactory(heartbeat_at=began)

        [beat] = self.engine.beats(9)

        assert 3600 <= beat.age <= (self.engine.now() - began).total_seconds()


class ServicesTests(Contract):
    def test_no_worker_lives_and_nothing_is_served(self):
        assert set() == self.engine.services(MINUTE, NOON)

    def test_each_service_is_named_once(self):
        for _ in range(2):
            WorkerFactory(queues=["a"], heartbeat_at=NOON)
        WorkerFactory(heartbeat_at=NOON)

        assert {Service(queues=("a",)), Service()} == self.engine.services(MINUTE, NOON)

    def test_worker_that_is_silent_serves_nothing(self):
        WorkerFactory(queues=["a"], heartbeat_at=NOON - MINUTE)
        WorkerFactory(queues=["b"], heartbeat_at=NOON - MINUTE / 2)

        assert {Service(queues=("b",))} == self.engine.services(MINUTE, NOON)
