"""Stopping workers from their pages."""

import pytest

from django_jobflow.models import Worker
from tests.admin.site import act, list_url, page_url, said, superuser, user_with
from tests.factories import WorkerFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff(client):
    client.force_login(superuser())
    return client


@pytest.fixture
def pair():
    return [WorkerFactory(name=f"web-1:{n}:ab/c", supervisor="web-1:1:s") for n in (2, 3)]


def asked():
    rows = Worker.objects.exclude(stop_requested_at=None).order_by("name")
    return list(rows.values_list("pid", "stops", "stop_requested_by"))


def test_one_process_is_recycled(staff, pair):
    response = staff.post(page_url(pair[0], "stop"), {"kind": "process"}, follow=True)

    assert ["1 worker was asked to stop."] == said(response)
    assert [(pair[0].pid, "process", "root")] == asked()


def test_whole_command_is_stopped(staff, pair):
    page = staff.get(page_url(pair[0], "stop"))
    assert (2, True) == (page.context["count"], page.context["has_supervisor"])

    response = staff.post(page_url(pair[0], "stop"), {"kind": "command"}, follow=True)

    assert ["2 workers were asked to stop."] == said(response)
    assert [(worker.pid, "command", "root") for worker in pair] == asked()


def test_worker_without_a_supervisor_is_its_command(staff):
    page = staff.get(page_url(WorkerFactory(), "stop"))

    assert (1, False) == (page.context["count"], page.context["has_supervisor"])


def test_question_without_an_answer_does_nothing(staff, pair):
    assert 200 == staff.post(page_url(pair[0], "stop"), {"kind": "other"}).status_code
    assert [] == asked()


def test_chosen_workers_are_recycled(staff, pair):
    response = act(staff, list_url("worker"), "recycle", pair)

    assert ["2 workers were asked to stop."] == said(response)
    assert [(worker.pid, "process", "root") for worker in pair] == asked()


def test_worker_that_was_asked_says_so_and_offers_no_more(staff, pair):
    staff.post(page_url(pair[0], "stop"), {"kind": "process"})

    response = staff.get(page_url(pair[0]))

    facts = {fact.label: str(fact.value) for fact in response.context["facts"]}
    assert ("root", "this process") == (facts["Asked to stop by"], facts["What stops"])
    assert "Stopping" in response.context["badge"]
    assert "" == response.context["stop_url"]
    assert staff.get(page_url(pair[1])).context["stop_url"]


def test_worker_that_has_gone_leads_to_the_list(staff, pair):
    address = page_url(pair[0], "stop")
    pair[0].delete()

    response = staff.post(address, {"kind": "process"}, follow=True)

    assert list_url("worker") == response.redirect_chain[-1][0]


@pytest.mark.parametrize("permissions", [["view_worker"], ["stop_worker"]])
def test_it_needs_both_permissions(client, pair, permissions):
    client.force_login(user_with(*permissions))

    assert 403 == client.post(page_url(pair[0], "stop"), {"kind": "process"}).status_code
    act(client, list_url("worker"), "recycle", pair)
    assert [] == asked()
