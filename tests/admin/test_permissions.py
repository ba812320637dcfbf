"""Who may do what, asked by every address there is: not only by the buttons that are shown."""

from itertools import product

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client

from django_jobflow.models import FailedJob, JobRecord, SucceededJob, Worker
from tests.admin.site import list_url, page_url, superuser, user_with
from tests.factories import (
    FailedJobFactory,
    JobRecordFactory,
    SucceededJobFactory,
    WorkerFactory,
)

pytestmark = pytest.mark.django_db

VIEWS = ["view_jobrecord", "view_failedjob", "view_succeededjob", "view_worker"]
POSTS = ["retry", "cancel", "run_now", "delete", "change", "history"]
ACTIONS = ["retry", "cancel", "run_now", "delete_selected"]
SAFE_METHODS = ["get", "head", "options"]
ALL_METHODS = [*SAFE_METHODS, "post", "put", "patch", "delete", "trace"]


@pytest.fixture
def rows():
    return [
        JobRecordFactory(state="SCHEDULED"),
        JobRecordFactory(state="IN_PROGRESS"),
        JobRecordFactory(state="CANCELLED"),
        FailedJobFactory(),
        SucceededJobFactory(),
        WorkerFactory(),
    ]


def everything():
    """Return all that the tables hold."""
    return [list(model.objects.order_by("pk").values()) for model in TABLES]


TABLES = (JobRecord, SucceededJob, Worker)


def addresses(rows):
    """Yield the address of each verb, page and action, with what is posted to it."""
    for row, page in product(rows, POSTS):
        if page in {"retry", "cancel", "run_now"} and not isinstance(row, JobRecord):
            continue
        yield page_url(row, page), {"post": "yes"}
        if isinstance(row, JobRecord):
            yield page_url(FailedJob(pk=row.pk), page), {"post": "yes"}
    for row, action in product(rows, ACTIONS):
        chosen = {"action": action, "index": 0, "_selected_action": [row.pk], "post": "yes"}
        yield list_url(row._meta.model_name), chosen
        yield list_url(row._meta.model_name), chosen | {"select_across": "1"}


def member(*, is_staff=True, is_active=True, permissions=()):
    user = get_user_model().objects.create_user("member", is_staff=is_staff, is_active=is_active)
    user.user_permissions.set(permissions)
    return user


def of_the_app():
    return Permission.objects.filter(content_type__app_label="jobflow")


STRANGERS = {
    "nobody": lambda: None,
    "a customer": lambda: member(is_staff=False),
    "a customer with permissions": lambda: member(is_staff=False, permissions=of_the_app()),
    "staff that was dismissed": lambda: member(is_active=False, permissions=of_the_app()),
    "staff without permissions": member,
    "staff that may view": lambda: user_with(*VIEWS),
}


class StrangerTests:
    @pytest.mark.parametrize("stranger", STRANGERS)
    def test_nothing_is_changed(self, client, rows, stranger):
        if user := STRANGERS[stranger]():
            client.force_login(user)
        before = everything()

        for address, data in addresses(rows):
            allowed = {302, 403} | ({200} if address.endswith("/history/") else set())
            assert client.post(address, data).status_code in allowed, (address, data)

        assert before == everything()

    @pytest.mark.parametrize("stranger", [name for name in STRANGERS if "view" not in name])
    def test_nothing_is_shown(self, client, rows, stranger):
        if user := STRANGERS[stranger]():
            client.force_login(user)

        for row in rows:
            for address in (list_url(row._meta.model_name), page_url(row)):
                response = client.get(address)

                assert response.status_code in {302, 403}
                assert "SendReceipt" not in response.content.decode()
                assert "host-1" not in response.content.decode()


class OnePermissionTests:
    """Each permission allows its own verb, and no other, in whatever way it is asked for."""

    @pytest.mark.parametrize(
        ("verb", "state", "becomes"),
        [
            ("retry", "FAILED", "AVAILABLE"),
            ("cancel", "SCHEDULED", "CANCELLED"),
            ("run_now", "SCHEDULED", "AVAILABLE"),
            ("delete", "SCHEDULED", None),
        ],
    )
    @pytest.mark.parametrize("permission", ["retry", "cancel", "run_now", "delete"])
    def test_verb_needs_its_permission(self, client, permission, verb, state, becomes):
        client.force_login(user_with(*VIEWS, f"{permission}_jobrecord"))
        expected = becomes if permission == verb else state
        action = "delete_selected" if verb == "delete" else verb

        by_address, by_action = JobRecordFactory.create_batch(2, state=state)
        client.post(page_url(by_address, verb), {"post": "yes"})
        chosen = {"action": action, "index": 0, "_selected_action": by_action.pk, "post": "yes"}
        client.post(list_url("jobrecord"), chosen)

        states = dict(JobRecord.objects.values_list("pk", "state"))
        assert [expected, expected] == [states.get(by_address.pk), states.get(by_action.pk)]

    def test_verb_without_the_permission_to_view_does_nothing(self, client):
        record = FailedJobFactory()
        client.force_login(user_with("retry_jobrecord"))

        assert 403 == client.post(page_url(record, "retry")).status_code
        assert "FAILED" == JobRecord.objects.get().state

    def test_permission_for_the_live_jobs_is_none_for_the_history(self, client):
        kept = SucceededJobFactory()
        client.force_login(user_with(*VIEWS, "delete_jobrecord"))

        assert 403 == client.post(page_url(kept, "delete"), {"post": "yes"}).status_code
        assert SucceededJob.objects.exists()


class RequestTests:
    def test_nothing_is_changed_by_a_method_that_is_safe(self, client, rows):
        client.force_login(superuser())
        before = everything()

        for address, data in addresses(rows):
            for method in SAFE_METHODS:
                getattr(client, method)(address, data)

        assert before == everything()

    def test_nothing_is_changed_by_a_method_that_is_not_meant(self, client, rows):
        client.force_login(superuser())
        before = everything()

        for row, verb in product(rows[:4], ["retry", "cancel", "run_now"]):
            for method in set(ALL_METHODS) - {"post"}:
                assert getattr(client, method)(page_url(row, verb)).status_code in {302, 405}

        assert before == everything()

    def test_nothing_is_changed_by_the_page_of_another_site(self, rows):
        client = Client(enforce_csrf_checks=True)
        client.force_login(superuser())
        before = everything()

        for address, data in addresses(rows):
            assert 403 == client.post(address, data).status_code, (address, data)

        assert before == everything()

    def test_button_of_the_page_is_no_other_site(self):
        client = Client(enforce_csrf_checks=True)
        client.force_login(superuser())
        record = FailedJobFactory()
        page = client.get(page_url(record))

        client.post(page_url(record, "retry"), {"csrfmiddlewaretoken": page.context["csrf_token"]})

        assert "AVAILABLE" == JobRecord.objects.get().state
