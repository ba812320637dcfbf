"""The whole desk, page by page: for eyes and screen readers, and for who may only look."""

import re
from html.parser import HTMLParser

import pytest
from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import override_settings
from django.urls import resolve, reverse

from benchmarks.desk.requests import ELSEWHERE, FIRST_PAGE, names
from django_jobflow.declare import registry
from tests.admin.browser import check, screenshot
from tests.admin.shop import SETTINGS, declare_jobs, open_shop, pages_of
from tests.admin.site import superuser, user_with

WIDE, NARROW = {"width": 1280, "height": 800}, {"width": 400, "height": 800}
PARTS = 16  # of the pages, so that each part of them is looked at in the time that a story has
OF_FILTERS = ("target-size",)  # which Django's own beside a list do not keep
FOR_THE_DOCS = {
    "audit": "audit",
    "bulk-dry-run": "bulk-start",
    "database": "database",
    "failure-refused": "failure-group",
    "failures": "failures",
    "job-failed": "job",
    "keys": "keys",
    "overview": "overview",
    "queues": "queues",
    "workers": "workers",
}
"""Pages that the documentation shows, each with the name of its pictures."""

CUT = """
[...document.querySelectorAll("#content .results, #content .jobflow-wide")]
    .filter((each) => each.scrollWidth > each.clientWidth)
    .map((each) => `${each.scrollWidth} in ${each.clientWidth}`)
"""
"""What asks for tables that are wider than their place: at 1280 pixels none is."""

NO_PAGES = {"completions", "data", "live"}  # they answer scripts
VERBS = {"cancel", "discard", "mute", "pause", "resume", "retry", "run_now", "stop", "unmute"}
"""Addresses at which something is done; who comes there by a link is led elsewhere."""


@pytest.fixture
def user(db):
    return superuser()


@pytest.fixture
def pages(user):
    """The address of each page, by its name, of a shop that is full."""
    with registry.isolated(), override_settings(JOBFLOW=SETTINGS):
        declare_jobs()
        yield pages_of(open_shop(str(user.pk)))


def test_no_page_is_forgotten(pages):
    found = {FIRST_PAGE} | {
        name for name in names() - ELSEWHERE if not name.endswith(tuple(NO_PAGES | VERBS))
    }
    shown = {resolve(address.partition("?")[0]).url_name for address in pages.values()}

    # The history is Django's own page, and that of one row is like that of another.
    assert {name for name in found - shown if not is_like_another(name)} == set()


def is_like_another(name):
    """Whether the page is one of a model that has the same page as another model."""
    return name.endswith("_history") or name in LIKE_ANOTHER


LIKE_ANOTHER = {
    "jobflow_failedjob_reschedule",
    "jobflow_history_changelist",  # leads to the overview
    "jobflow_jobrecord_delete",
    "jobflow_jobrecord_edit",
    "jobflow_succeededjob_delete",
}


@pytest.mark.django_db(transaction=True)
class BrowserTests:
    @pytest.mark.parametrize("part", range(PARTS))
    def test_every_page_serves_all_people(self, browse, pages, user, part):
        """In light and dark, wide and narrow: nothing for axe, and nothing cut off."""
        found = {}

        def story(page):
            for name in sorted(pages)[part::PARTS]:
                page.set_viewport_size(WIDE)
                page.goto(pages[name])
                if name == "overview":
                    page.locator(".jobflow-canvas canvas").nth(3).wait_for()
                if cut := page.evaluate(CUT):
                    found[f"{name}, beside the sidebar"] = cut
                try:
                    has_filters = page.locator("#changelist-filter").count()
                    check(page, but=OF_FILTERS if has_filters else ())
                except AssertionError as error:  # those of other pages are to be told, too
                    found[name] = str(error)
                if name in FOR_THE_DOCS:
                    screenshot(page, FOR_THE_DOCS[name])
                page.set_viewport_size(NARROW)
                width = page.evaluate("document.documentElement.scrollWidth")
                if width > NARROW["width"]:
                    found[f"{name}, narrow"] = f"{width} wide"

        browse(story, user=user)

        assert {} == found


class Controls(HTMLParser):
    """What of a page does something: buttons of forms that are posted, and links to verbs."""

    def __init__(self, text):
        super().__init__()
        self.found, self.form = [], {}
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        said = dict(attributes)
        if tag == "form":
            self.form = said
        is_button = tag == "button" or (tag == "input" and said.get("type") == "submit")
        if is_button and self.form.get("method") == "post":
            self.found.append(self.form.get("action", "of a list"))
        if tag == "a" and LEADS_TO_CHANGE.search(said.get("href") or ""):
            self.found.append(said["href"])

    def handle_endtag(self, tag):
        if tag == "form":
            self.form = {}


LEADS_TO_CHANGE = re.compile(r"/jobflow/.*(add|delete|edit|purge|reschedule|start|stop)/(\?|$)")


def who_may_view():
    """Return a member of the staff with each permission to look, and no other."""
    found = Permission.objects.filter(content_type__app_label="jobflow")
    views = found.filter(codename__startswith="view_") | found.filter(codename="examine_database")
    user = get_user_model().objects.create_user("looker", is_staff=True)
    user.user_permissions.set(views)
    return user


def everything():
    """Return all that the tables hold."""
    models = [
        model for model in apps.get_app_config("jobflow").get_models() if not model._meta.proxy
    ]
    return [list(model._base_manager.order_by("pk").values()) for model in models]


@pytest.mark.django_db
class LookingTests:
    """A role that may view and nothing else."""

    def test_every_page_is_readable_and_offers_nothing(self, client, pages):
        client.force_login(who_may_view())
        refused, offered = set(), {}

        for name, address in pages.items():
            response = client.get(address)
            if response.status_code == 403:
                refused.add(name)
                continue
            assert 200 == response.status_code, name
            found = Controls(response.content.decode()).found
            if found != [reverse("admin:logout")]:
                offered[name] = found

        assert {} == offered
        assert PAGES_OF_DOING == refused

    def test_every_post_is_refused(self, client, pages):
        client.force_login(who_may_view())
        before = everything()

        answers = {address: client.post(address, DATA).status_code for address in posted(pages)}

        assert {} == {address: said for address, said in answers.items() if said != 403}
        assert before == everything()

    def test_without_a_permission_nothing_is_there(self, client, pages):
        client.force_login(user_with())
        index = client.get(reverse("admin:index")).content.decode()

        answers = {name: client.get(address).status_code for name, address in pages.items()}

        assert 404 == answers.pop("overview")  # as Django answers for an app without a model
        assert {} == {name: said for name, said in answers.items() if said != 403}
        assert "jobflow" not in index


PAGES_OF_DOING = {
    "bulk-dry-run",
    "bulk-start",
    "job-delete",
    "job-edit",
    "job-reschedule",
    "limit-add",
    "limit-delete",
    "pause-add",
    "pause-delete",
    "queue-purge",
    "saved-view-add",
    "saved-view-delete",
    "worker-stop",
}
"""Pages that are there to do something; who may only view is not let in."""

DATA = {
    "post": "yes",
    "action": "delete_selected",
    "index": 0,
    "_selected_action": "1",
    "for": "day",
}


def posted(pages):
    """Yield each address that there is, of a row that there is, with those of the verbs."""
    for address in pages.values():
        path = address.partition("?")[0]
        if path != pages["overview"] and not path.endswith("/history/"):  # those are only shown
            yield path
        if path.endswith("/change/"):
            row = path.removesuffix("change/")
            model = resolve(path).url_name.removesuffix("_change")
            yield from (f"{row}{verb}/" for verb in sorted(VERBS) if f"{model}_{verb}" in names())
