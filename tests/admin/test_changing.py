"""Other arguments before a retry, and another time."""

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from django_jobflow import Job
from django_jobflow.arguments import DOTS
from django_jobflow.declare import registry
from django_jobflow.models import AuditEntry, JobRecord
from django_jobflow.states import EDITABLE, JobState
from tests.admin.site import page_url, said, superuser, user_with
from tests.factories import FailedJobFactory, JobRecordFactory, SucceededJobFactory

pytestmark = pytest.mark.django_db

CHARGE = "tests.app.jobs.Charge"


@pytest.fixture
def admin(client):
    client.force_login(superuser())
    return client


@pytest.fixture
def own_jobs():
    with registry.isolated():
        yield


def post(client, row, name, **data):
    return client.post(page_url(row, name), data, follow=True)


def edit(client, row, args=(), **kwargs):
    """Post these arguments, in the form in which they are stored."""
    return post(client, row, "edit", args=json.dumps(args), kwargs=json.dumps(kwargs))


def errors(response):
    """Return what the form says, field by field."""
    return {name: list(told) for name, told in response.context["form"].errors.items()}


class EditTests:
    def test_failed_job_runs_again_with_other_arguments(self, admin):
        record = FailedJobFactory(name="tests.app.jobs.Anything", kwargs={"a": 1})

        response = edit(admin, record, [2], total={"$jobflow": "decimal", "value": "9.90"})

        assert [f"Job {record.pk} will run again, with these arguments."] == said(response)
        found = JobRecord.objects.get()
        assert ("AVAILABLE", [2], {"total": {"$jobflow": "decimal", "value": "9.90"}}) == (
            found.state,
            found.args,
            found.kwargs,
        )

    def test_it_is_written_to_the_audit_without_the_arguments(self, admin):
        record = FailedJobFactory(name="tests.app.jobs.Anything")

        edit(admin, record, ["a secret"])

        entry = AuditEntry.objects.get()
        assert ("retry", "root", f"id:{record.pk}", 1) == (
            entry.action,
            entry.by,
            entry.subject,
            entry.count,
        )
        assert "a secret" not in json.dumps(entry.detail)
        assert ["args", "kwargs"] == entry.detail["changed"]

    def test_what_is_hidden_is_shown_as_dots_which_keep_it(self, admin):
        record = FailedJobFactory(name=CHARGE, kwargs={"order_id": 7, "card": "4111"})

        page = admin.get(page_url(record, "edit")).content.decode()
        edit(admin, record, order_id=8, card=DOTS)

        assert (DOTS in page, "4111" in page) == (True, False)
        assert {"order_id": 8, "card": "4111"} == JobRecord.objects.get().kwargs

    def test_what_is_hidden_can_be_replaced(self, admin):
        record = FailedJobFactory(name=CHARGE, args=[7, "4111"], kwargs={})

        edit(admin, record, [DOTS, "4222"])

        assert [DOTS, "4222"] == JobRecord.objects.get().args

    @pytest.mark.parametrize(
        ("args", "kwargs", "expected"),
        [
            (
                "[",
                "{}",
                {"args": "This is no JSON: there is a mistake in line 1, at character 2."},
            ),
            ("{}", "[]", {"args": "Expected a list.", "kwargs": "Expected an object."}),
            (
                "[]",
                '{"order": 7}',
                {
                    "__all__": f"{CHARGE}: missing a required argument: 'order_id'. "
                    "Expected (order_id, card, *, how='return')."
                },
            ),
            (
                '[{"$jobflow": "date", "value": "soon"}]',
                "",
                {
                    "__all__": f"{CHARGE}: expected stored arguments that can be read back, "
                    "got {'$jobflow': 'date', 'value': 'soon'} at args[0]."
                },
            ),
        ],
    )
    def test_mistakes_are_errors_of_the_form(self, admin, args, kwargs, expected):
        record = FailedJobFactory(name=CHARGE)

        response = post(admin, record, "edit", args=args, kwargs=kwargs)

        found = {name: told for name, [told] in errors(response).items()}
        assert expected == found
        assert "FAILED" == JobRecord.objects.get().state
        assert not AuditEntry.objects.exists()

    def test_method_of_the_job_that_raises_is_an_error_of_the_form(self, admin, own_jobs):
        class Picky(Job):
            def perform(self, card):
                pass

            def queue_key(self, card):
                return {"known": "k"}[card]

        record = FailedJobFactory(name=Picky.definition().name, kwargs={"card": "known"})

        response = edit(admin, record, card="4111")

        assert {"__all__": ["The job itself refuses these arguments: KeyError."]} == errors(
            response
        )

    def test_job_whose_code_is_not_here_offers_nothing(self, admin):
        record = FailedJobFactory(name="shop.gone")

        assert [] == admin.get(page_url(record)).context["changes"]
        assert ["It is not in a state for that."] == said(edit(admin, record))

    def test_job_that_was_retried_meanwhile_is_left(self, admin):
        record = JobRecordFactory(name="tests.app.jobs.Anything")

        assert ["It is not in a state for that."] == said(edit(admin, record))


class RescheduleTests:
    def test_waiting_job_gets_another_time(self, admin):
        record = JobRecordFactory()
        moment = (timezone.now() + timedelta(days=3)).replace(microsecond=0)

        response = post(admin, record, "reschedule", run_at=f"{moment:%Y-%m-%dT%H:%M:%S}")

        found = JobRecord.objects.get()
        assert [f"Job {record.pk} is rescheduled."] == said(response)
        assert ("SCHEDULED", moment) == (found.state, found.available_at)
        assert "reschedule" == AuditEntry.objects.get().action

    def test_time_that_is_none_is_an_error_of_the_form(self, admin):
        response = post(admin, JobRecordFactory(), "reschedule", run_at="soon")

        assert {"run_at": ["Enter a valid date/time."]} == errors(response)

    def test_page_begins_with_the_time_that_it_has(self, admin):
        record = JobRecordFactory(state=JobState.SCHEDULED)

        page = admin.get(page_url(record, "reschedule")).content.decode()

        assert f'value="{record.available_at:%Y-%m-%dT%H:%M:%S}"' in page

    def test_state_decides_what_is_offered(self, admin):
        offered = {
            state
            for state in JobState
            if any(
                each["label"] == "Reschedule"
                for each in admin.get(page_url(JobRecordFactory(state=state))).context["changes"]
            )
        }

        assert EDITABLE == offered

    def test_job_that_is_gone_leads_to_the_list(self, admin):
        response = post(admin, JobRecord(pk=7), "reschedule")

        assert ["Job 7 does not exist. It may have been deleted."] == said(response)

    def test_job_that_has_succeeded_meanwhile_says_so(self, admin):
        job = SucceededJobFactory()

        response = admin.get(page_url(JobRecord(pk=job.pk), "reschedule"), follow=True)

        assert [(page_url(job), 302)] == response.redirect_chain
        text = f"Job {job.pk} has succeeded in the meantime: nothing was done."
        assert [text] == [str(message) for message in response.context["messages"]]


class PermissionTests:
    @pytest.mark.parametrize("name", ["edit", "reschedule"])
    @pytest.mark.parametrize("codename", ["edit_jobrecord", "reschedule_jobrecord"])
    def test_page_needs_its_permission(self, client, name, codename):
        client.force_login(user_with("view_jobrecord", codename))
        state = JobState.FAILED if name == "edit" else JobState.SCHEDULED
        record = JobRecordFactory(state=state, name="tests.app.jobs.Anything")
        expected = 200 if codename == f"{name}_jobrecord" else 403

        assert expected == client.get(page_url(record, name)).status_code
        labels = client.get(page_url(record)).context["changes"]
        assert (expected == 200) == bool(labels)

    def test_page_needs_the_permission_to_view(self, client):
        client.force_login(user_with("edit_jobrecord"))

        assert 403 == client.get(page_url(FailedJobFactory(), "edit")).status_code
