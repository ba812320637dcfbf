"""Where the desk leads, by what the user may see."""

import pytest
from django.test import Client
from django.urls import reverse

from tests.admin.browser import check
from tests.admin.site import list_url, superuser, user_with

pytestmark = pytest.mark.django_db

DESK = {"app_label": "jobflow"}


def shown(user):
    """Return the links that *user* sees, by their groups."""
    client = Client()
    client.force_login(user)
    groups = client.get(reverse("admin:app_list", kwargs=DESK)).context["groups"]
    return {
        str(group.label): {str(link.label): link.url for link in group.links} for group in groups
    }


def test_superuser_sees_every_page_of_the_desk():
    found = shown(superuser())

    assert ["Overview", "Jobs", "Failures", "Queues", "System"] == [*found]
    assert {
        "Limits": list_url("limit"),
        "Pauses": list_url("pause"),
    }.items() <= found["Queues"].items()
    assert found["Failures"]["Failed jobs"] == list_url("failedjob")


def test_page_has_one_name(client):
    client.force_login(superuser())
    index = client.get(reverse("admin:app_list", kwargs=DESK))
    [app] = [each for each in index.context["app_list"] if each["app_label"] == "jobflow"]
    in_sidebar = {model["admin_url"]: str(model["name"]) for model in app["models"]}
    links = {
        link.url: str(link.label) for group in index.context["groups"] for link in group.links
    }
    del links[list_url("history")]  # leads to the page that has been asked for

    titles = {url: client.get(url).context["title"] for url in links}

    assert links == titles
    assert {url: name for url, name in in_sidebar.items() if url in links}.items() <= links.items()


def test_others_see_what_they_may():
    assert {"Queues": {"Pauses": list_url("pause")}} == shown(user_with("view_pause"))


def test_staff_without_permissions_finds_no_desk(client):
    client.force_login(user_with())

    assert 404 == client.get(reverse("admin:app_list", kwargs=DESK)).status_code


@pytest.mark.django_db(transaction=True)
def test_links_lead_to_pages(browse):
    def story(page):
        page.goto(reverse("admin:app_list", kwargs=DESK))
        check(page)
        links = page.locator(".jobflow-navigation a")
        for url in [link.get_attribute("href") for link in links.all()]:
            page.goto(url)
        return page.url

    assert browse(story, user=superuser()).endswith("/")
