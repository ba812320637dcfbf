"""What an operator says from a terminal, and a worker in another process follows."""

from django_jobflow.models import JobRecord, SucceededJob
from tests.app import jobs
from tests.management.asking import ask, ask_json


def done():
    return SucceededJob.objects.count()


def test_paused_queue_is_left_until_it_is_resumed(start_worker, until):
    ask("pause", "--queue=default", "--reason=Deploy")
    start_worker()
    paused = jobs.add.enqueue(1)
    # Its end says that the worker has looked at all that waits.
    jobs.add.using(queue="other").enqueue(2)
    until(done)

    assert "paused" == ask_json("why", paused.pk)["cause"]
    assert [paused] == list(JobRecord.objects.all())
    assert ask_json("health")["healthy"]

    ask("resume", "--queue=default")
    until(lambda: done() == 2)


def test_queue_at_its_limit_says_so_and_is_purged(start_worker, until, tmp_path):
    started, release = tmp_path / "started", tmp_path / "release"
    ask("limit", "--queue=default", "--concurrency=1")
    start_worker()
    jobs.touch_and_wait.enqueue(str(started), str(release))
    until(started.exists)
    waiting = jobs.add.enqueue(1)

    why = ask_json("why", waiting.pk)
    assert "Queue 'default' is at its limit: 1 of 1 run." == why["sentence"]
    assert (0, "1 job deleted.\n") == ask("purge", "--queue=default", "--yes")

    release.touch()
    until(lambda: not JobRecord.objects.exists())
    assert 1 == done()
