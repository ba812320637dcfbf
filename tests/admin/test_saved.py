"""Saved views: one's own, and those that are shared."""

import pytest
from django.contrib.auth import get_user_model

from django_jobflow.models import SavedView
from tests.admin.site import list_url, page_url, superuser, user_with

pytestmark = pytest.mark.django_db
ADD = "/admin/jobflow/savedview/add/"
ALL = ["view_savedview", "add_savedview", "change_savedview", "delete_savedview"]


@pytest.fixture
def clerk(client):
    client.user = user_with("view_jobrecord", *ALL)
    client.force_login(client.user)
    return client


def view_of(user, name="Mine", **facts):
    return SavedView.objects.create(name=name, search="state:failed", owner=str(user.pk), **facts)


def test_view_is_saved_from_a_list_and_offered_there(clerk):
    page = clerk.get(list_url("jobrecord", q="queue:email", state="FAILED"))
    assert f"{ADD}?search=state%3Afailed+queue%3Aemail" == page.context["cl"].save_url

    clerk.post(ADD, {"name": "Mail", "search": "state:FAILED  queue:email", "is_shared": "on"})

    [view] = SavedView.objects.all()
    assert ("Mail", "state:failed queue:email", str(clerk.user.pk), "clerk", False) == (
        view.name,
        view.search,
        view.owner,
        view.owner_name,
        view.is_shared,
    )
    offered = clerk.get(list_url("jobrecord")).context["cl"].saved_views
    assert [("Mail", list_url("jobrecord", q="state:failed queue:email"))] == offered


def test_mistakes_are_errors_of_the_form(clerk):
    view_of(clerk.user)

    response = clerk.post(ADD, {"name": "Mine", "search": "quue:x"})

    errors = response.context["adminform"].form.errors
    assert ["You have a view of this name already."] == errors["name"]
    assert errors["search"][0].startswith("Search: at character 1: 'quue' is no key.")


def test_only_own_and_shared_ones_are_seen_and_own_ones_changed(clerk):
    other = get_user_model().objects.create_user("other")
    mine, shared = view_of(clerk.user), view_of(other, "Ours", is_shared=True)
    hidden = view_of(other, "Theirs")

    rows = clerk.get(list_url("savedview")).context["cl"].result_list
    assert [mine, shared] == list(rows)
    data = {"name": "New", "search": "x"}
    assert [302, 403, 302] == [
        clerk.post(page_url(view), data).status_code for view in (mine, shared, hidden)
    ]
    assert 403 == clerk.post(page_url(shared, "delete"), {"post": "yes"}).status_code
    clerk.post(page_url(mine, "delete"), {"post": "yes"})
    assert ["Ours", "Theirs"] == list(
        SavedView.objects.order_by("name").values_list("name", flat=True)
    )


def test_who_may_share_shares(client):
    client.force_login(superuser())

    client.post(ADD, {"name": "Ours", "search": "state:failed", "is_shared": "on"})

    assert SavedView.objects.get().is_shared


def test_nothing_is_offered_without_permission(client):
    user = user_with("view_jobrecord")
    view_of(user)
    client.force_login(user)

    changelist = client.get(list_url("jobrecord", q="queue:a")).context["cl"]

    assert [] == changelist.saved_views
    assert not hasattr(changelist, "save_url")
    assert 403 == client.get(list_url("savedview")).status_code
