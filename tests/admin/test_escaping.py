"""Whatever stands in a row, and whatever stands in an address: on a page it is text."""

import re
from html.parser import HTMLParser
from itertools import count

import pytest
from django.db import models
from django.utils import timezone

from django_jobflow.models import (
    AuditEntry,
    Batch,
    BulkOperation,
    Configuration,
    FailedJob,
    FailureGroup,
    History,
    JobRecord,
    Key,
    Limit,
    Pause,
    Queue,
    SavedView,
    SucceededJob,
    Worker,
)
from tests.admin.site import act, list_url, page_url, said, superuser
from tests.factories import (
    FailedJobFactory,
    FailureGroupFactory,
    JobLogFactory,
    JobRecordFactory,
    LimitFactory,
    PauseFactory,
    SucceededJobFactory,
    WorkerFactory,
)

pytestmark = pytest.mark.django_db

EVIL = "'\"><script>x()</script><img src=x onerror=x()>&lt;b&gt;{{ 7 }}{% now %}"
EVIL_ERROR = dict.fromkeys(
    ["number", "worker", "exception", "message", "traceback", EVIL], EVIL
) | {"at": timezone.now().isoformat()}
JSON = {
    "args": [EVIL, [EVIL], {"$jobflow": "date", "value": EVIL}],
    "kwargs": {EVIL: EVIL, "m": {"$jobflow": "model", "value": [EVIL, EVIL, EVIL]}},
    "errors": [EVIL_ERROR, EVIL_ERROR | {"at": EVIL}, EVIL, [EVIL]],
    "tags": [EVIL, {EVIL: EVIL}],
    "meta": {EVIL: {EVIL: EVIL}, "jobflow.unknown_since": EVIL},
    "result": {EVIL: [EVIL]},
    "queues": [EVIL],
    "on_success": {"name": EVIL, EVIL: EVIL},
    "on_finish": {"name": EVIL, "kwargs": {EVIL: EVIL}},
}
MODELS = (
    *(JobRecord, SucceededJob, Worker, Batch, Pause, Limit, AuditEntry, FailureGroup),
    *(BulkOperation, SavedView),
)
WITHOUT_ROWS = (Queue, Key, Configuration, History)
LISTS = (
    "jobrecord",
    "failedjob",
    "succeededjob",
    "worker",
    "batch",
    "pause",
    "limit",
    "auditentry",
    "failuregroup",
    "bulkoperation",
    "savedview",
)
NUMBERS = count()  # for keys, which only one record holds
KEPT = {"state", "kind"}  # which the database itself holds to its few words

COLUMNS = {
    model: [
        field
        for field in model._meta.concrete_fields
        if isinstance(field, models.CharField | models.TextField | models.JSONField)
        and field.editable
        and field.attname not in KEPT
    ]
    for model in MODELS
}


class Page(HTMLParser):
    """What a browser makes of a page: its elements, and the attributes that run something."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.attributes = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append(tag)
        self.attributes += [
            (tag, name, value)
            for name, value in attributes
            if name.startswith("on") or re.match(r"\s*(javascript|data):", value or "")
        ]


def evil(model, **facts):
    """Return what stands in the columns of a row that somebody has written with evil in mind."""
    texts = {
        field.attname: JSON.get(field.attname, EVIL[: field.max_length])
        for field in COLUMNS[model]
    }
    if "queue_key" in texts:
        texts |= {key: f"{EVIL}{next(NUMBERS)}" for key in ("queue_key", "execution_key")}
    return texts | facts


@pytest.fixture
def client(client):
    client.force_login(superuser())
    return client


@pytest.fixture
def rows(client):
    anything = {"name": "tests.app.jobs.Anything"}
    return [
        JobRecordFactory(**evil(JobRecord, state="IN_PROGRESS", progress=7)),
        JobRecordFactory(**evil(JobRecord, state="WAITING", reserved_by=None)),
        JobRecordFactory(**evil(JobRecord, state="AVAILABLE", reserved_by=None, **anything)),
        FailedJobFactory(**evil(JobRecord, reserved_by=None)),
        FailedJobFactory(**evil(JobRecord, reserved_by=None, **anything)),
        SucceededJobFactory(**evil(SucceededJob)),
        SucceededJobFactory(**evil(SucceededJob, **anything)),
        Batch.objects.create(**evil(Batch)),
        WorkerFactory(**evil(Worker)),
        PauseFactory(**evil(Pause)),
        LimitFactory(**evil(Limit)),
        FailureGroupFactory(**evil(FailureGroup, fingerprint="0" * 32)),
        AuditEntry.objects.create(**evil(AuditEntry, action=EVIL[:30], via="code")),
        BulkOperation.objects.create(**evil(BulkOperation, action=EVIL[:30], via="code")),
        SavedView.objects.create(**evil(SavedView, name=EVIL[:100], is_shared=True)),
    ]


def jobs(rows):
    """Return the jobs among *rows*; only the first of them runs."""
    return [row for row in rows if isinstance(row, JobRecord | SucceededJob)]


def harmless(response, *, shows=True):
    """Check that a page has no element or attribute of those that stand in the rows."""
    assert 200 == response.status_code
    text = response.content.decode()
    page = Page(text)
    assert "<script>x()" not in text
    assert "<img src=x" not in text
    assert [] == page.attributes
    assert not shows or "&lt;script&gt;x()" in text
    assert "{{ 7 }}" in text or not shows


def test_every_text_that_a_row_holds_is_tried():
    """A column that is added is filled with evil without being named here."""
    named = {field.attname for fields in COLUMNS.values() for field in fields}

    assert {"name", "queue", "partition", "errors", "tags", "progress_message", "result"} < named
    assert {"host", "queues", "reserved_by", "queue_key", "execution_key", "meta"} < named


def test_pages(client, rows):
    for row in jobs(rows):
        lines = [[timezone.now().timestamp(), EVIL, EVIL, EVIL]]
        JobLogFactory(job=row, worker=EVIL, entries=lines)
    for row in rows:
        harmless(client.get(page_url(row)))


def test_lists(client, rows):
    for model in LISTS:
        harmless(client.get(list_url(model)))
        for name in ("q", "name", "queue", "state", EVIL):
            harmless(client.get(list_url(model, **{name: EVIL}), follow=True), shows=False)


def test_pages_that_have_no_rows_of_their_own(client, rows):
    for model in WITHOUT_ROWS:
        page = client.get(list_url(model._meta.model_name), follow=True)

        harmless(page, shows=model in {Queue, Key})


def test_pages_that_lead_to_a_deletion(client, rows):
    for row in jobs(rows)[1:]:
        shows = row.name == EVIL
        harmless(client.get(page_url(row, "delete")), shows=shows)
        harmless(client.get(page_url(row, "history")), shows=shows)
        chosen = act(client, list_url(row._meta.model_name), "delete_selected", [row])
        harmless(chosen, shows=shows)


def test_messages_and_the_history_after_a_deletion(client, rows):
    for row in jobs(rows)[1:]:
        response = client.post(page_url(row, "delete"), {"post": "yes"}, follow=True)

        assert 1 == len(said(response))
        harmless(response, shows=False)
    harmless(client.get("/admin/"))
    assert not SucceededJob.objects.exists()
    assert not FailedJob.objects.exists()


def test_messages_of_the_verbs(client, rows):
    blocked = JobRecordFactory(name=EVIL, state="FAILED", queue_key=rows[0].queue_key)
    for row, verb in ((blocked, "retry"), (rows[0], "cancel"), (rows[1], "run_now")):
        response = client.post(page_url(row, verb), follow=True)

        assert 1 == len(said(response))
        harmless(response)


def test_address_of_what_is_not_there(client):
    for model in LISTS:
        address = list_url(model) + "%22%3E%3Cscript%3Ex()%3C_2Fscript%3E/change/"

        harmless(client.get(address, follow=True), shows=False)


def test_every_page_of_the_package_has_been_rendered_here():
    """A model that gets pages of its own has to be added above."""
    from django.contrib import admin

    ours = {model for model in admin.site._registry if model._meta.app_label == "jobflow"}

    assert {FailedJob, *MODELS, *WITHOUT_ROWS} == ours
