"""The page of the database's health."""

from datetime import timedelta

import pytest
from django.urls import reverse

from tests.admin.site import user_with
from tests.doctor.test_examining import STATEMENTS
from tests.factories import WorkerFactory

pytestmark = pytest.mark.django_db

MORE = 60  # than the examination itself: savepoints, the session and the user


@pytest.fixture
def address():
    return reverse("admin:jobflow_database")


def test_page_has_the_findings_and_what_to_do(client, address, django_assert_max_num_queries):
    row = WorkerFactory(name="<host>:1")
    row.clock_at = row.heartbeat_at + timedelta(seconds=5)
    row.save()
    client.force_login(user_with("examine_database"))

    with django_assert_max_num_queries(STATEMENTS + MORE):
        page = client.get(address).content.decode()

    text = "The clock of the worker &lt;host&gt;:1 is 5.0 s ahead of the database&#x27;s."
    assert text in page
    assert "Let NTP keep the clocks of all hosts." in page
    assert "<code>clock_skew</code>" in page


def test_only_who_may_examine_sees_it(client, address):
    client.force_login(user_with("view_worker", "view_jobrecord"))

    assert 403 == client.get(address).status_code
    assert 403 == client.post(address).status_code


def test_desk_leads_there(client, address):
    client.force_login(user_with("examine_database", "view_worker"))
    desk = reverse("admin:app_list", kwargs={"app_label": "jobflow"})

    assert f'<a href="{address}">Database</a>' in client.get(desk).content.decode()
    page = client.get(address)
    assert 200 == page.status_code
    assert "current-app" in page.content.decode()  # but none of its lists is the current one
    assert "current-model" not in page.content.decode()
    assert 403 == client.post(address).status_code
