"""``jobflow stop``: asking workers to stop."""

import pytest

from django_jobflow import InvalidJob, control
from django_jobflow.models import AuditEntry, Worker
from tests.factories import WorkerFactory
from tests.management.asking import ask, ask_json, refusal

pytestmark = pytest.mark.django_db


@pytest.fixture
def two():
    for name in ("h:1", "h:2"):
        WorkerFactory(name=name, supervisor="h:9")


def asked():
    rows = Worker.objects.exclude(stop_requested_at=None).order_by("name")
    return list(rows.values_list("name", "stops", "stop_requested_by"))


def test_whole_command_is_asked(two):
    code, printed = ask("stop", "h:2", "--by=ann")

    assert (0, "h:1 was asked to stop.\nh:2 was asked to stop.\n") == (code, printed)
    assert [(name, "command", "ann") for name in ("h:1", "h:2")] == asked()


def test_one_process_is_asked(two):
    assert {"asked": ["h:2"]} == ask_json("stop", "h:2", "--recycle", "--by=ann")

    assert [("h:2", "process", "ann")] == asked()
    entry = AuditEntry.objects.get()
    assert ("stop_worker", "worker:h:2", 1, "ann", "command", {"stops": "process"}) == (
        entry.action,
        entry.subject,
        entry.count,
        entry.by,
        entry.via,
        entry.detail,
    )


def test_worker_is_not_there(two):
    assert (1, "There is no worker 'h:3'.") == refusal("stop", "h:3")
    assert [] == asked()


@pytest.mark.parametrize("said", [{"name": None}, {"name": "x" * 201}, {"by": "a\0"}])
def test_wrong_value_is_refused(two, said):
    with pytest.raises(InvalidJob, match=r"^stop_worker: expected (name|by) to be at most 200"):
        control.stop_worker(**{"name": "h:1"} | said)
    assert [] == asked()
