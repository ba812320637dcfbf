"""The pages of pauses and limits: they say what operators have said, and call the verbs."""

from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.urls import reverse
from django.utils import timezone

from django_jobflow import control, job
from django_jobflow.declare import registry
from django_jobflow.models import AuditEntry, Limit, Pause
from django_jobflow.states import JobState
from tests.admin.site import act, list_url, page_url, said, superuser, user_with
from tests.factories import JobRecordFactory, LimitFactory, PauseFactory

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)
NO_LIMIT = {"concurrency": "", "starts": "", "burst": ""}


def add_url(model):
    return reverse(f"admin:jobflow_{model}_add")


def errors(response):
    """Return the errors of the form that *response* shows, by field."""
    return dict(response.context["adminform"].form.errors)


def columns(response, *names):
    """Return what a list shows in some of its columns."""
    model_admin = response.context["cl"].model_admin
    return [
        tuple(str(getattr(model_admin, name)(row)) for name in names)
        for row in response.context["cl"].result_list
    ]


@pytest.fixture
def staff(client):
    client.force_login(superuser())
    return client


class PauseTests:
    def test_queue_is_paused_by_who_says_so(self, staff):
        data = {"kind": "queue", "value": "email", "reason": "Deploy"}

        response = staff.post(add_url("pause"), data, follow=True)

        [pause] = control.paused()
        assert ("queue", "email", None, "Deploy", "root") == (
            pause.kind,
            pause.value,
            pause.until,
            pause.reason,
            pause.by,
        )
        assert 200 == response.status_code
        assert [str(pause.pk)] == list(LogEntry.objects.values_list("object_id", flat=True))

    def test_page_tells_who_and_since_when_of_what_is_there(self, staff):
        pause = PauseFactory(by="ann")

        for address, told in ((add_url("pause"), []), (page_url(pause), ["by", "created_at"])):
            fields = staff.get(address).context["adminform"].fieldsets[0][1]["fields"]
            assert ["kind", "value", "until", "reason", *told] == list(fields)

    def test_default_partition_can_be_paused(self, staff):
        staff.post(add_url("pause"), {"kind": "partition", "value": ""})

        assert [("partition", "")] == list(Pause.objects.values_list("kind", "value"))
        assert "the default one" in staff.get(list_url("pause")).content.decode()

    def test_what_is_paused_is_not_paused_anew(self, staff):
        pause = PauseFactory(by="ann", reason="Lunch")

        data = {"kind": "queue", "value": "email", "reason": "Deploy"}
        response = staff.post(add_url("pause"), data)

        link = f'This is paused already. <a href="{page_url(pause)}">Change it</a>'
        assert {"value": [link]} == errors(response)
        assert link in response.content.decode()
        assert [("Lunch", "ann")] == list(Pause.objects.values_list("reason", "by"))

    def test_what_was_paused_is_paused_anew(self, staff):
        PauseFactory(by="ann", until=timezone.now() - HOUR)

        staff.post(add_url("pause"), {"kind": "queue", "value": "email", "reason": "Deploy"})

        assert [("Deploy", "root", None)] == list(
            Pause.objects.values_list("reason", "by", "until")
        )

    def test_moment_that_has_passed_pauses_nothing(self, staff):
        moment = {"until_0": "2020-01-01", "until_1": "00:00"}
        said = {"until": ["This moment has passed: nothing would be paused."]}

        response = staff.post(add_url("pause"), {"kind": "queue", "value": "email"} | moment)
        assert said == errors(response)
        assert not Pause.objects.exists()
        pause = PauseFactory()
        assert said == errors(staff.post(page_url(pause), moment))
        assert [pause.pk] == [each.pk for each in control.paused()]

    @pytest.mark.parametrize(
        ("data", "field"),
        [
            ({"kind": "queue", "value": ""}, "value"),
            ({"kind": "queue", "value": "a b"}, "value"),
            ({"kind": "job", "value": "x" * 201}, "value"),
            ({"kind": "key", "value": "a"}, "kind"),
            ({"kind": "queue", "value": "a", "until_0": "soon", "until_1": ""}, "until"),
            ({"kind": "queue", "value": "a", "reason": "x" * 201}, "reason"),
        ],
    )
    def test_wrong_value_is_an_error_of_its_field(self, staff, data, field):
        response = staff.post(add_url("pause"), data)

        assert [field] == list(errors(response))
        assert not Pause.objects.exists()

    def test_error_says_what_is_expected(self, staff):
        response = staff.post(add_url("pause"), {"kind": "queue", "value": "a b"})

        [text] = errors(response)["value"]
        assert text.startswith("Name: expected queue to be 1 to 100 letters")

    def test_end_and_reason_can_be_changed_and_nothing_else(self, staff):
        pause = PauseFactory(by="ann")
        data = {
            "kind": "job",
            "value": "other",
            "until_0": "2099-01-31",
            "until_1": "18:00",
            "reason": "Longer",
        }

        response = staff.post(page_url(pause), data)

        pause.refresh_from_db()
        assert (302, "queue", "email", "Longer", "root", 2099) == (
            response.status_code,
            pause.kind,
            pause.value,
            pause.reason,
            pause.by,
            pause.until.year,
        )

    def test_list_says_what_is_in_force(self, staff):
        PauseFactory(value="a")
        PauseFactory(value="b", until=timezone.now() + HOUR + HOUR / 60)
        PauseFactory(value="c", until=timezone.now() - HOUR)

        response = staff.get(list_url("pause"))

        shown = columns(response, "what", "signs", "ends")
        assert ["a", "b", "c"] == [name for name, *_ in shown]
        assert ["Paused" in signs for _, signs, _ in shown] == [True, True, False]
        assert "it is resumed" == shown[0][2]
        assert "in 1 h" in shown[1][2]
        assert "1 h ago" in shown[2][2]

    def test_deleted_pause_is_resumed(self, staff):
        pause = PauseFactory()

        assert 200 == staff.get(page_url(pause, "delete")).status_code
        staff.post(page_url(pause, "delete"), {"post": "yes"})

        assert not Pause.objects.exists()

    def test_chosen_pauses_are_resumed(self, staff):
        chosen, kept = PauseFactory(value="a"), PauseFactory(value="b")

        response = act(staff, list_url("pause"), "resume", [chosen])

        assert ["1 pause was ended."] == said(response)
        assert [kept] == list(Pause.objects.all())
        assert [str(chosen.pk)] == list(LogEntry.objects.values_list("object_id", flat=True))

    def test_action_of_django_is_not_offered(self, staff):
        PauseFactory()

        assert "delete_selected" not in staff.get(list_url("pause")).content.decode()

    def test_long_name_of_a_user_is_cut(self, client):
        user = get_user_model()(username="x" * 150, is_staff=True, is_superuser=True)
        user.save()
        client.force_login(user)

        client.post(add_url("pause"), {"kind": "queue", "value": "email"})

        assert ["x" * 150] == list(Pause.objects.values_list("by", flat=True))


class LimitTests:
    def post(self, staff, address=None, **data):
        data = {"kind": "queue", "value": "email"} | NO_LIMIT | data
        return staff.post(address or add_url("limit"), data)

    def test_queue_is_limited_by_who_says_so(self, staff):
        response = self.post(staff, concurrency="3", starts="100/m", burst="20")

        limit = Limit.objects.get()
        assert (302, 3, 100, timedelta(minutes=1), 20, True, "root") == (
            response.status_code,
            limit.concurrency,
            limit.rate,
            limit.period,
            limit.burst,
            limit.is_override,
            limit.by,
        )

    def test_limit_of_the_settings_is_lifted(self, staff, settings):
        settings.JOBFLOW = {"QUEUES": {"email": {"limit": 40}}}
        LimitFactory(is_override=False, concurrency=None)

        self.post(staff)

        assert [(None, True)] == list(Limit.objects.values_list("concurrency", "is_override"))

    @pytest.mark.parametrize(
        ("data", "field"),
        [
            ({"value": ""}, "value"),
            ({"value": "a b"}, "value"),
            ({"kind": "partition"}, "kind"),
            ({"concurrency": "0"}, "concurrency"),
            ({"concurrency": "many"}, "concurrency"),
            ({"concurrency": str(2**31)}, "concurrency"),
            ({"kind": "key", "concurrency": "1001"}, "concurrency"),
            ({"starts": "many"}, "starts"),
            ({"starts": "0/m", "burst": "3"}, "starts"),
            ({"burst": "3"}, "burst"),
            ({"starts": "1/s", "burst": "0"}, "burst"),
        ],
    )
    def test_wrong_value_is_an_error_of_its_field(self, staff, data, field):
        response = self.post(staff, **data)

        assert [field] == list(errors(response))
        assert not Limit.objects.exists()

    def test_page_begins_with_what_is_in_force(self, staff, settings):
        settings.JOBFLOW = {"QUEUES": {"sms": {"limit": 40, "rate": (10, 30), "burst": 2}}}
        of_operator = LimitFactory(rate=5, period=timedelta(seconds=1))
        of_settings = LimitFactory(value="sms", is_override=False, concurrency=None)

        for limit, expected in ((of_operator, (2, "5/s", None)), (of_settings, (40, "10/30s", 2))):
            form = staff.get(page_url(limit)).context["adminform"].form
            assert expected == tuple(form.initial[name] for name in NO_LIMIT)

    def test_limit_is_changed(self, staff):
        limit = LimitFactory(by="ann")

        assert 302 == self.post(staff, page_url(limit), starts="1/10s").status_code

        limit.refresh_from_db()
        assert (None, 1, timedelta(seconds=10), "root") == (
            limit.concurrency,
            limit.rate,
            limit.period,
            limit.by,
        )

    def test_list_says_what_is_in_force_and_used(self, staff, settings):
        settings.JOBFLOW = {
            "QUEUES": {"b": {"limit": 40}, "c": {"rate": "100/m", "burst": 2}, "d": {}}
        }
        LimitFactory(value="a", concurrency=2, by="ann")
        for queue in ("b", "c", "d"):
            LimitFactory(value=queue, is_override=False, concurrency=None)
        LimitFactory(value="e", concurrency=None)
        LimitFactory(kind="job", value="x")
        JobRecordFactory(state=JobState.IN_PROGRESS, queue="a")

        response = staff.get(list_url("limit"))

        assert [
            ("x", "0 of 2", "None", "None", "an operator"),
            ("a", "1 of 2", "None", "None", "ann"),
            ("b", "0 of 40", "None", "None", "the settings"),
            ("c", "None", "100/m", "2", "the settings"),
            ("e", "any number", "None", "None", "an operator"),
        ] == columns(response, "what", "running", "starts", "burst_of", "source")

    def test_declared_limit_is_listed_before_a_worker_has_known_it(self, staff, settings):
        settings.JOBFLOW = {"QUEUES": {"b": {"limit": 40, "rate": "5/s"}, "c": {"limit": 1}}}
        LimitFactory(value="a", by="ann")
        LimitFactory(value="c", is_override=False, concurrency=None)
        JobRecordFactory(state=JobState.IN_PROGRESS, queue="b")

        response = staff.get(list_url("limit"))

        assert [
            ("a", "0 of 2", "None", "ann"),
            ("c", "0 of 1", "None", "the settings"),
            ("b", "1 of 40", "5/s", "the settings"),
        ] == columns(response, "what", "running", "starts", "source")
        assert 3 == response.context["cl"].result_count
        assert 2 == response.content.decode().count('name="_selected_action"')
        assert not Limit.objects.filter(value="b").exists()  # to look writes nothing

        address = f"{add_url('limit')}?kind=queue&value=b"
        assert address.replace("&", "&amp;") in response.content.decode()
        form = staff.get(address).context["adminform"].form
        assert ("queue", "b", 40, "5/s", None) == tuple(
            form[name].value() for name in ("kind", "value", "concurrency", "starts", "burst")
        )

    def test_declared_limits_are_at_the_end_of_the_last_page(self, staff, settings):
        settings.JOBFLOW = {"QUEUES": {"a": {"limit": 40}}}
        for number in range(101):
            LimitFactory(value=f"q{number:03}")

        pages = [staff.get(list_url("limit"), {"p": page}) for page in (1, 2)]

        first, last = (columns(page, "what") for page in pages)
        assert (100, [("q100",), ("a",)]) == (len(first), last)

    def test_who_may_not_add_has_no_link_to_it(self, client, settings):
        settings.JOBFLOW = {"QUEUES": {"b": {"limit": 40}}}
        client.force_login(user_with("view_limit"))

        page = client.get(list_url("limit")).content.decode()

        assert "0 of 40" in page
        assert add_url("limit") not in page

    def test_list_has_the_limits_of_the_code(self, staff):
        with registry.isolated():

            @job(name="crawl", rate="5/s")
            def crawl(): ...

            LimitFactory(kind="job", value="crawl", is_override=False, concurrency=None)
            LimitFactory(kind="job", value="gone", is_override=False, concurrency=None)

            response = staff.get(list_url("limit"))

            assert [("crawl", "5/s", "the code")] == columns(response, "what", "starts", "source")

    def test_deleted_limit_is_cleared_and_keeps_its_row(self, staff):
        limit = LimitFactory()

        staff.post(page_url(limit, "delete"), {"post": "yes"})

        assert [(None, False)] == list(Limit.objects.values_list("concurrency", "is_override"))

    def test_limit_of_a_key_is_set_and_cleared(self, staff):
        data = {"kind": "key", "value": "shop:7", "concurrency": "5", "starts": "", "burst": ""}
        staff.post(add_url("limit"), data)
        other = LimitFactory(kind="key", value="shop:8")
        [limit] = Limit.objects.exclude(pk=other.pk)
        assert ("key", "shop:7", 5) == (limit.kind, limit.value, limit.concurrency)

        response = act(staff, list_url("limit"), "clear", [limit])
        staff.post(page_url(other, "delete"), {"post": "yes"})

        assert "1 limit was cleared." == said(response)[-1]
        assert not Limit.objects.exists()

    def test_limit_of_the_settings_cannot_be_deleted(self, staff, settings):
        settings.JOBFLOW = {"QUEUES": {"email": {"limit": 40}}}
        limit = LimitFactory(is_override=False, concurrency=None)

        assert 403 == staff.post(page_url(limit, "delete"), {"post": "yes"}).status_code
        response = act(staff, list_url("limit"), "clear", [limit])
        assert ["0 limits were cleared."] == said(response)

    def test_chosen_limits_are_cleared(self, staff):
        LimitFactory(value="kept")

        response = act(staff, list_url("limit"), "clear", [LimitFactory()])

        assert ["1 limit was cleared."] == said(response)
        assert ["kept"] == [row.value for row in Limit.objects.filter(is_override=True)]


class PermissionTests:
    """Each permission of Django's is for what it says, in whatever way it is asked for."""

    @pytest.mark.parametrize(
        ("model", "factory"), [("pause", PauseFactory), ("limit", LimitFactory)]
    )
    @pytest.mark.parametrize("permission", ["view", "add", "change", "delete"])
    def test_permission_is_for_its_own_page(self, client, model, factory, permission):
        row = factory()
        client.force_login(user_with(f"{permission}_{model}"))
        data = {"kind": "queue", "value": "new", "reason": "x"} | NO_LIMIT

        codes = {
            "view": client.get(list_url(model)).status_code,
            "add": client.post(add_url(model), data).status_code,
            "change": client.post(page_url(row), data).status_code,
            "delete": client.post(page_url(row, "delete"), {"post": "yes"}).status_code,
        }

        # Who may change may look, too.
        allowed = {permission} | ({"view"} if permission == "change" else set())
        assert allowed == {page for page, code in codes.items() if code != 403}

    @pytest.mark.parametrize(
        ("model", "factory", "has_one"),
        [
            ("pause", PauseFactory, "This is paused already."),
            ("limit", LimitFactory, "This has a limit already."),
        ],
    )
    @pytest.mark.parametrize("may_view", [True, False])
    def test_who_may_add_changes_nothing_that_is_there(
        self, client, model, factory, has_one, may_view
    ):
        row = factory(by="ann")
        before = type(row).objects.values().get()
        client.force_login(user_with(f"add_{model}", *([f"view_{model}"] if may_view else [])))
        data = {"kind": row.kind, "value": row.value, "reason": "Mine"} | NO_LIMIT

        response = client.post(add_url(model), data)

        link = f' <a href="{page_url(row)}">See what it says</a>' if may_view else ""
        assert {"value": [f"{has_one}{link}"]} == errors(response)
        assert before == type(row).objects.values().get()
        assert not AuditEntry.objects.exists()

    @pytest.mark.parametrize("has_row", [True, False])
    def test_limit_of_the_settings_takes_the_permission_to_change(self, client, settings, has_row):
        settings.JOBFLOW = {"QUEUES": {"email": {"limit": 40}}}
        if has_row:
            LimitFactory(is_override=False, concurrency=None)
        client.force_login(user_with("add_limit", "view_limit"))
        data = {"kind": "queue", "value": "email"} | NO_LIMIT

        response = client.post(add_url("limit"), data)

        told = "The settings or the code limit this, and you may not change limits."
        assert {"value": [told]} == errors(response)
        assert add_url("limit") + "?" not in client.get(list_url("limit")).content.decode()
        assert not Limit.objects.filter(is_override=True).exists()

    @pytest.mark.parametrize("factory", [PauseFactory, LimitFactory])
    def test_who_may_only_view_sees_the_page(self, client, factory):
        row = factory(by="ann")
        client.force_login(user_with(f"view_{row._meta.model_name}"))

        response = client.get(page_url(row))

        assert "ann" in response.content.decode()
        assert 403 == client.post(page_url(row), {}).status_code

    @pytest.mark.parametrize(
        ("model", "factory", "action"),
        [("pause", PauseFactory, "resume"), ("limit", LimitFactory, "clear")],
    )
    def test_action_needs_the_permission_to_delete(self, client, model, factory, action):
        row = factory()
        client.force_login(user_with(f"view_{model}", f"change_{model}", f"add_{model}"))

        act(client, list_url(model), action, [row])

        row.refresh_from_db()
        assert model == "pause" or row.is_override
