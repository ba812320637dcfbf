"""The first page of the desk."""

import re
from datetime import timedelta
from io import BytesIO
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.test import TestCase
from django.urls import reverse
from django.utils import timezone
from PIL import Image

from django_jobflow.admin import overview
from django_jobflow.engines import engine_for
from django_jobflow.history import MINUTE, RUN, WAIT, WORDS, beginning, class_of
from tests.admin.browser import check
from tests.admin.past import write_past
from tests.admin.site import list_url, superuser, user_with
from tests.app import jobs
from tests.factories import JobRecordFactory, WorkerFactory
from tests.plans import fill, noting, problems
from tests.process.conftest import start_worker  # noqa: F401

DESK = reverse("admin:app_list", kwargs={"app_label": "jobflow"})
DATA = reverse("admin:jobflow_history_data")
SCRIPT = "<script>throw 1</script>"


def write(minutes_ago=0, queue="email", samples=0, now=None, **numbers):
    moment = (now or timezone.now()) - timedelta(minutes=minutes_ago)
    engine_for("default").write_history(moment, {queue: numbers}, samples)


class PageTests(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.user = superuser()

    def setUp(self):
        self.client.force_login(self.user)

    def test_numbers_of_each_queue_are_shown_and_lead_to_its_jobs(self):
        WorkerFactory(queues=["email"])
        JobRecordFactory.create_batch(2, queue="email")
        JobRecordFactory(state="FAILED", queue="email")
        JobRecordFactory(queue="nobody's")

        response = self.client.get(DESK)

        waiting = list_url("jobrecord", state="AVAILABLE", queue="email")
        failed = list_url("failedjob", queue="email")
        self.assertContains(response, f'<a href="{waiting.replace("&", "&amp;")}">2</a>')
        self.assertContains(response, f'<a href="{failed}">1</a>')
        self.assertContains(response, "Nobody serves it.", count=1)

    def test_charts_have_a_table_of_their_numbers(self):
        now = timezone.now()
        write(1, succeeded=3, failed=1, now=now)
        write(2, queue="other", succeeded=10, now=now)

        page = self.client.get(DESK).context
        [throughput, *_] = page["charts"]
        assert (
            "succeeded 13, to be retried 0, failed 1, cancelled 0, put off 0"
            == (throughput["summary"])
        )
        assert [["3", "0", "1", "0", "0"], ["10", "0", "0", "0", "0"]] == [
            row.cells for row in throughput["rows"]
        ]

        page = self.client.get(DESK, {"queue": "other", "span": "day"}).context
        [throughput, *_] = page["charts"]
        assert [["10", "0", "0", "0", "0"]] == [row.cells for row in throughput["rows"]]

    def test_percentile_beyond_the_last_class_is_not_told_as_measured(self):
        WorkerFactory(queues=["email"])
        write(1, **{WORDS[WAIT][class_of(0.0015)]: 6, WORDS[WAIT][class_of(10**6)]: 4})

        page = self.client.get(DESK).context

        said = [text.replace("\xa0", " ") for _, text in page["tiles"]]
        assert "2 ms / more than 13 h 53 min" in said
        [row] = page["charts"][2]["rows"]
        assert ["2 ms", "more than 13 h 53 min"] == [
            text.replace("\xa0", " ") for text in row.cells
        ]

    def test_numbers_are_those_of_the_chosen_queue(self):
        WorkerFactory(queues=["email"])
        JobRecordFactory.create_batch(2, queue="email")
        JobRecordFactory(queue="other")

        found = {}
        for queue in ("", "email", "gone"):
            response = self.client.get(DESK, {"queue": queue} if queue else {})
            tiles = dict(response.context["tiles"])
            found[queue] = (tiles["Waiting"], "Slots in use" in tiles)
            heading = "Queue email" if queue == "email" else "All queues"
            self.assertContains(response, f'<h2 id="jobflow-figures">{heading}</h2>')
            self.assertContains(response, "times of the last 15\N{NO-BREAK SPACE}min, rates", 2)

        assert {"": ("3", True), "email": ("2", False), "gone": ("3", True)} == found

    def test_what_has_no_meaning_is_ignored(self):
        for asked in ({"span": "year"}, {"queue": "a\0b"}, {"queue": "a" * 101}, {"x": "1"}):
            with self.subTest(asked=asked):
                page = self.client.get(DESK, asked).context

                assert ("hour", "") == (page["asked"].span, page["asked"].queue)

    def test_name_of_a_queue_is_escaped(self):
        write(1, queue=SCRIPT, succeeded=1)
        JobRecordFactory(queue=SCRIPT)

        for address in (DESK, f"{DESK}?{urlencode({'queue': SCRIPT})}"):
            self.assertNotContains(self.client.get(address), SCRIPT)
        assert SCRIPT not in self.client.get(DATA).json()["parts"]["queues"]

    def test_list_leads_to_the_page(self):
        response = self.client.get(list_url("history", span="day"))

        self.assertRedirects(response, f"{DESK}?span=day")

    def test_number_of_statements_does_not_grow_with_the_jobs(self):
        JobRecordFactory.create_batch(3, queue="email")
        with self.assertNumQueries(self.budget):
            self.client.get(DESK)
        JobRecordFactory.create_batch(6, queue="email")
        WorkerFactory.create_batch(3)
        with self.assertNumQueries(self.budget + 1):  # what the workers hold
            self.client.get(DESK)

    @property
    def budget(self):
        """Session and user; what the page asks for; and the clock, where it is not the host's."""
        return {"sqlite": 15, "postgresql": 16}.get(connection.vendor, 19)


class DataTests(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.user = superuser()

    def setUp(self):
        self.client.force_login(self.user)

    def test_charts_are_numbers_by_line_and_period(self):
        now = timezone.now()
        write(0, succeeded=3, **{WORDS[WAIT][class_of(1.5)]: 2}, now=now)
        write(0, queue="", samples=1, waiting=4, now=now)

        answer = self.client.get(DATA).json()

        period = answer["starts"].index(beginning(now, MINUTE).timestamp())
        assert len(answer["starts"]) - period in {1, 2}  # a minute may have begun meanwhile
        written = {
            chart["name"]: {line: values[period] for line, values in chart["series"].items()}
            for chart in answer["charts"]
        }
        assert {
            "throughput": {
                "succeeded": 3, "retried": 0, "failed": 0, "cancelled": 0, "returned": 0,
            },
            "backlog": {"waiting": 4.0, "held": 0.0},
            "waits": {"p50": 1.5, "p95": 1.95},
            "runs": {"p50": None, "p95": None},
        } == written  # fmt: skip
        assert set(overview.PARTS) == set(answer["parts"])

    def test_answer_that_is_known_already_is_not_sent_again(self):
        minute = None
        while minute != beginning(timezone.now(), MINUTE):  # else another one may be shown
            minute = beginning(timezone.now(), MINUTE)
            tag = self.client.get(DATA)["ETag"]
            again = self.client.get(DATA, headers={"If-None-Match": tag})

        JobRecordFactory(state="FAILED")
        changed = self.client.get(DATA, headers={"If-None-Match": tag})

        assert [(304, b""), 200] == [(again.status_code, again.content), changed.status_code]


class PermissionTests(TestCase):
    def test_overview_has_a_permission_of_its_own(self):
        JobRecordFactory(queue="secret")
        self.client.force_login(user_with("view_history"))

        page = self.client.get(DESK)

        self.assertContains(page, "secret")
        self.assertNotContains(page, list_url("jobrecord"))
        assert 200 == self.client.get(DATA).status_code

    def test_others_see_nothing_of_it(self):
        JobRecordFactory(queue="secret")
        self.client.force_login(user_with("view_pause"))

        self.assertNotContains(self.client.get(DESK), "secret")
        assert 403 == self.client.get(DATA).status_code


@pytest.mark.skipif(connection.vendor == "mysql", reason="As in test_plans.")
class PlanTests(TestCase):
    def test_no_statement_reads_a_whole_table(self):
        fill()
        self.client.force_login(superuser())

        with noting() as statements:
            self.client.get(DESK)

        assert [] == problems(statements)


NOTE_TEXTS = """
window.texts = [];
const write = CanvasRenderingContext2D.prototype.fillText;
CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {
    window.texts.push(text);
    return write.call(this, text, ...rest);
};
"""
ROUND = re.compile(r"\d\d:\d\d [AP]M|[\d,]+|\d+ ms|(\d+ d)? ?(\d+ h)? ?(\d+ min)? ?(\d+ s)?")


def in_colour(picture):
    """Return how many points of *picture* are of a colour: neither its ground nor its writing."""
    with Image.open(BytesIO(picture)) as image:
        colours = image.convert("RGB").tobytes()
    return sum(
        max(colour) - min(colour) > 60
        for colour in zip(colours[::3], colours[1::3], colours[2::3], strict=True)
    )


@pytest.mark.django_db(transaction=True)
class BrowserTests:
    @pytest.fixture(autouse=True)
    def quick(self, monkeypatch):
        monkeypatch.setattr(overview, "POLL_INTERVAL", 0.2)

    def test_charts_follow_a_worker(self, browse, start_worker):  # noqa: F811
        user = superuser()
        worker = start_worker()

        def story(page):
            page.goto(DESK)
            page.locator(".jobflow-canvas canvas").nth(3).wait_for()
            picture = page.locator("[data-chart=throughput]")
            before = picture.screenshot()
            browse.ask(lambda: [jobs.add.enqueue(number) for number in range(20)])
            page.locator("[aria-label*='succeeded 20,']").wait_for(timeout=60_000)
            return before != picture.screenshot()

        assert browse(story, user=user)
        assert 0 == worker.stop()

    def test_page_serves_all_people(self, browse):
        user = superuser()
        worker = WorkerFactory(queues=["email", "reports"], threads=8).name
        JobRecordFactory.create_batch(3, state="IN_PROGRESS", queue="email", reserved_by=worker)
        JobRecordFactory.create_batch(4, queue="email")
        JobRecordFactory(state="FAILED", queue="reports")
        JobRecordFactory(state="RETRY", queue="email")
        write_past(timezone.now(), minutes=60, other="reports")

        def story(page):
            page.goto(DESK)
            page.locator(".jobflow-canvas canvas").nth(3).wait_for()
            check(page)
            page.get_by_text("Numbers", exact=True).first.focus()
            page.keyboard.press("Enter")
            page.locator(".jobflow-chart details[open] table").wait_for()
            page.get_by_role("link", name="Last week").focus()
            page.keyboard.press("Enter")
            page.wait_for_url("**span=week*")
            page.locator(".jobflow-canvas canvas").nth(3).wait_for()
            page.get_by_role("link", name="reports", exact=True).click()
            page.get_by_text("Charts of the queue reports.").wait_for()
            page.locator(".jobflow-canvas canvas").nth(3).wait_for()
            check(page)

        browse(story, user=user)

    @pytest.mark.parametrize("span", ["hour", "week"])
    def test_value_without_neighbours_is_seen(self, browse, span):
        user = superuser()
        write(20, succeeded=2, **{WORDS[WAIT][class_of(15)]: 2, WORDS[RUN][class_of(20)]: 2})
        write(20, queue="", samples=1, waiting=4)
        engine_for("default").fold_history()

        def story(page):
            page.goto(f"{DESK}?span={span}")
            page.locator(".jobflow-canvas canvas").nth(3).wait_for()
            pictures = {
                name: page.locator(f"[data-chart={name}]").screenshot()
                for name in ("backlog", "waits", "runs")
            }
            return {name: in_colour(picture) for name, picture in pictures.items()}

        seen = browse(story, user=user)
        assert {} == {name: count for name, count in seen.items() if count < 15}

    def test_steps_of_the_axes_are_round(self, browse):
        user = superuser()
        for ago, seconds in enumerate([0.2, 95, 13_000]):
            write(ago, succeeded=1, **{WORDS[RUN][class_of(seconds)]: 1})
            write(ago, queue=("email", "slow", "slower")[ago], **{
                WORDS[WAIT][class_of(seconds)]: 1
            })  # fmt: skip
        write(0, queue="", samples=1, waiting=1)

        def story(page):
            page.add_init_script(NOTE_TEXTS)
            found = {}
            for queue in ("", "email", "slow", "slower"):
                page.goto(f"{DESK}?queue={queue}")
                page.locator(".jobflow-canvas canvas").nth(3).wait_for()
                page.locator("#jobflow-overview[data-drawn]").wait_for()
                found[queue] = page.evaluate("window.texts")
            return found

        found = browse(story, user=user)
        for texts in found.values():
            assert texts
            assert [] == [text for text in texts if not ROUND.fullmatch(text)]

    def test_page_says_the_same_without_scripts(self, browse):
        user = superuser()
        write(1, succeeded=7)

        def story(page):
            page.goto(DESK)
            page.get_by_text("Numbers", exact=True).first.click()
            cell = page.locator("[data-part=throughput] tbody td").first
            return cell.inner_text(), page.get_by_role("button", name="Pause updates").count()

        assert ("7", 0) == browse(story, user=user, java_script_enabled=False)

    def test_updates_stop_while_they_are_paused(self, browse):
        user = superuser()

        def story(page):
            page.goto(DESK)
            page.locator("#jobflow-overview[data-drawn]").wait_for()
            page.get_by_role("button", name="Pause updates").click()
            browse.ask(lambda: JobRecordFactory(state="FAILED", queue="late"))
            with page.expect_response("**/data/*"):
                page.get_by_role("button", name="Pause updates").click()
            page.locator("[data-part=queues]").get_by_text("late").wait_for()
            return page.get_by_role("button", name="Pause updates").get_attribute("aria-pressed")

        assert "false" == browse(story, user=user)

    def test_who_is_logged_out_is_told(self, browse):
        user = superuser()

        def story(page):
            page.goto(DESK)
            page.locator("#jobflow-overview[data-drawn]").wait_for()
            page.context.clear_cookies()
            page.get_by_text("The numbers are old: log in again.").wait_for()

        browse(story, user=user)
