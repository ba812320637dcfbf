"""The pages of the batches: how far each has come, what it belongs to, and its end."""

import pytest

from django_jobflow import Job
from django_jobflow.models import Batch, JobRecord
from django_jobflow.states import JobState
from tests.admin.site import act, list_url, page_url, said, superuser, user_with
from tests.factories import JobRecordFactory, SucceededJobFactory

pytestmark = pytest.mark.django_db


class Summary(Job):
    name = "shop.batches.Summary"

    def perform(self, secret):
        pass


@pytest.fixture
def staff(client):
    client.force_login(superuser())
    return client


@pytest.fixture
def batch():
    batch = Batch.objects.open("products.csv", on_finish=Summary.prepared("hush"))
    for state in (JobState.SCHEDULED, JobState.IN_PROGRESS, JobState.FAILED):
        JobRecordFactory(state=state, batch_id=batch.pk)
    return batch


def test_list_shows_the_newest_first(staff, batch):
    other = Batch.objects.open("other.csv")

    response = staff.get(list_url("batch"))

    assert [other, batch] == list(response.context["cl"].result_list)


def test_page_shows_how_the_members_stand_and_no_argument(staff, batch):
    response = staff.get(page_url(batch))

    facts = {fact.label: fact.value for fact in response.context["facts"]}
    assert ("3", "33 %", "1", "1", "1") == tuple(
        facts[label] for label in ("Members", "Ended", "Waiting", "Running", "Failed")
    )
    assert "shop.batches.Summary" == facts["Runs when all have ended"]
    assert "Runs when all have succeeded" not in facts
    assert "hush" not in response.content.decode()


def test_page_leads_to_its_members_alone(staff, batch):
    JobRecordFactory()
    response = staff.get(page_url(batch))

    found = staff.get(response.context["members_url"]).context["cl"].result_list

    assert set(batch.records) == set(found)


@pytest.mark.parametrize("factory", [JobRecordFactory, SucceededJobFactory])
def test_member_leads_to_its_batch(staff, batch, factory):
    member, other = factory(batch_id=batch.pk), factory()

    assert page_url(batch) in staff.get(page_url(member)).content.decode()
    assert "Member of batch" not in staff.get(page_url(other)).content.decode()


def test_chosen_batches_are_cancelled(staff, batch):
    response = act(staff, list_url("batch"), "cancel", [batch])

    assert ["1 job was cancelled."] == said(response)
    assert {JobState.CANCELLED, JobState.IN_PROGRESS, JobState.FAILED} == set(
        JobRecord.objects.values_list("state", flat=True)
    )


def test_who_may_only_look_is_not_offered_to_cancel(client, batch):
    client.force_login(user_with("view_batch"))

    act(client, list_url("batch"), "cancel", [batch])

    assert 200 == client.get(page_url(batch)).status_code
    assert not JobRecord.objects.filter(state=JobState.CANCELLED).exists()
