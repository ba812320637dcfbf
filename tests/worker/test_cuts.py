"""A worker whose connection is cut at each of its statements in turn.

Whatever it was at (to reserve, to start, to renew its lease, to write an end, to say good-bye)
and whether the database has done it or not, each job has one end at its first attempt, and what it
has logged is there.
"""

import time
from contextlib import contextmanager
from itertools import count

import pytest
from django.db import connection, connections

from django_jobflow import Job, current_context
from django_jobflow.declare import registry
from django_jobflow.models import JobRecord, SucceededJob, Worker
from django_jobflow.worker import trouble

pytestmark = [
    pytest.mark.skipif(
        not connection.features.has_select_for_update,
        reason="SQLite has no server to be cut off from.",
    ),
    pytest.mark.django_db(transaction=True, databases=["default", "other"]),
]

KILL = {"postgresql": "SELECT pg_terminate_backend(%s)", "mysql": "KILL %s"}
LIVES = {
    "postgresql": "SELECT COUNT(*) FROM pg_stat_activity WHERE pid = %s",
    "mysql": "SELECT COUNT(*) FROM information_schema.processlist WHERE id = %s",
}

# What statements of a worker are known by, that have to be among those that were cut.
KINDS = {
    "postgresql": {
        "reserve and start": "taken AS",
        "end": "gone AS",
        "lines": 'INTO "jobflow_log"',
        "heartbeat of the job": '"expires" = ',
        "heartbeat of the worker": '"heartbeat_at" = ',
        "good-bye": 'DELETE FROM "jobflow_worker"',
    },
    "mysql": {
        "reserve": "SKIP LOCKED",
        "start": "'IN_PROGRESS'",
        "end": "INTO `jobflow_succeeded`",
        "lines": "INTO `jobflow_log`",
        "heartbeat of the job": "`expires` = ",
        "heartbeat of the worker": "`heartbeat_at` = ",
        "good-bye": "DELETE FROM `jobflow_worker`",
    },
}


def cut():
    """Have the server end the session of this thread, and wait until it has."""
    session = connection.connection
    number = session.info.backend_pid if connection.vendor == "postgresql" else session.thread_id()
    with connections["other"].cursor() as cursor:
        cursor.execute(KILL[connection.vendor], [number])
        while True:
            cursor.execute(LIVES[connection.vendor], [number])
            if cursor.fetchone() == (0,):
                return


class Cutter:
    """Cuts the connection of this thread at a statement, before or after it is executed.

    Args:
        statement: The text, or a part of it, of the one whose first execution is cut. None cuts
            none.

    Attributes:
        seen: The texts of all, in their order.
        cut: What was cut; None means that it was not there.
    """

    def __init__(self, statement, *, after):
        self.statement = statement
        self.after = after
        self.seen = []
        self.cut = None

    def at_work(self):
        return connection.execute_wrapper(self)

    def __call__(self, execute, sql, params, many, context):
        self.seen.append(str(sql))
        if self.cut is not None or self.statement is None or self.statement not in str(sql):
            return execute(sql, params, many, context)
        self.cut = str(sql)
        if self.after:
            execute(sql, params, many, context)
        cut()
        # The first to notice that nobody is there: the answer of the statement is lost.
        return execute("SELECT 1", None, False, context)


class CommitCutter(Cutter):
    """Cuts it when a commit has been made, before anybody is told."""

    def __init__(self, number):
        super().__init__(None, after=True)
        self.number = number
        self.commits = 0

    @contextmanager
    def at_work(self):
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(connection, "_commit", self.commit)
            yield

    def commit(self):
        connection.connection.commit()
        self.commits += 1
        if self.commits == self.number:
            self.cut = "COMMIT"
            cut()
            with connection.wrap_database_errors, connection.connection.cursor() as cursor:
                cursor.execute("SELECT 1")


@contextmanager
def declared():
    """Declare a job that goes on until its lease has been renewed."""
    with registry.isolated():

        class Renewed(Job):
            name = "cuts.Renewed"
            keep_logs = True
            begun: list[int] = []

            def perform(self, number):
                self.begun.append(number)
                self.context.log("begun")
                mine = JobRecord.objects.filter(pk=current_context().job_id)
                first = mine.values_list("expires", flat=True).get()
                while mine.filter(expires=first).exists():
                    current_context().heartbeat()
                    time.sleep(0.002)

        yield Renewed


class CutTests:
    @pytest.fixture(autouse=True)
    def no_pause(self, monkeypatch):
        monkeypatch.setattr(trouble, "FIRST_PAUSE", 0.001)

    def life(self, drain, cutter):
        """Have a worker live with *cutter*."""
        with declared() as job:
            job.enqueue(1)
            with cutter.at_work():
                drain(threads=1)
            kept = SucceededJob.objects.all()
            ends = [(job.attempt, [line.message for line in job.logs()]) for job in kept]
            left = JobRecord.objects.count(), Worker.objects.count()
            kept.delete()
        assert ([(1, ["begun"])], (0, 0), [1]) == (ends, left, job.begun), cutter.cut

    @pytest.mark.parametrize("after", [False, True], ids=["undone", "done"])
    def test_each_statement_is_cut_and_the_job_has_one_end(self, drain, after):
        whole = Cutter(None, after=after)
        self.life(drain, whole)
        found = []
        # The kinds too: how a worker comes to an end, and so its text, is not alike each time.
        for statement in (*dict.fromkeys(whole.seen), *KINDS[connection.vendor].values()):
            cutter = Cutter(statement, after=after)
            self.life(drain, cutter)
            found.append(cutter.cut)

        missing = [
            kind
            for kind, text in KINDS[connection.vendor].items()
            if not any(text in (statement or "") for statement in found)
        ]
        assert ([], True) == (missing, len(found) > len(KINDS[connection.vendor])), found

    def test_each_commit_is_cut_and_the_job_has_one_end(self, drain):
        for number in count(1):
            cutter = CommitCutter(number)
            self.life(drain, cutter)
            if cutter.cut is None:
                break
        assert number > 1
