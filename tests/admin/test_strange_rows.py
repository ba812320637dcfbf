"""Rows that somebody has written by SQL, strange, deep or large: they break no page."""

import json

import pytest
from django.db import connection, models

from django_jobflow.admin.cells import ENTRIES_SHOWN
from django_jobflow.models import JobRecord, SucceededJob, Worker
from django_jobflow.observe.readable import TEXT_SHOWN
from tests.admin.site import list_url, page_url, superuser
from tests.factories import (
    FailedJobFactory,
    JobLogFactory,
    JobRecordFactory,
    SucceededJobFactory,
    WorkerFactory,
    error_entry,
)

pytestmark = pytest.mark.django_db

STRANGE = [
    "null",
    "true",
    "7",
    "1.5",
    '"text"',
    "{}",
    '{"a": [1]}',
    "[]",
    "[null, 7, true, [], {}]",
    '[{"number": {"a": 1}, "at": 7, "worker": [], "exception": 1, "message": {}}]',
    '{"$jobflow": "set", "value": 7}',
]
DEEPEST = {"sqlite": 500, "mysql": 30, "postgresql": 500}
"""Levels of JSON that the databases take, and that Python 3.11 can read."""

JSON_COLUMNS = [
    pytest.param(model, field.attname, id=f"{model.__name__}.{field.attname}")
    for model in (JobRecord, SucceededJob, Worker)
    for field in model._meta.concrete_fields
    if isinstance(field, models.JSONField)
]
FACTORIES = {
    JobRecord: [JobRecordFactory, FailedJobFactory],
    SucceededJob: [SucceededJobFactory],
    Worker: [WorkerFactory],
}


@pytest.fixture
def client(client):
    client.force_login(superuser())
    return client


def written(row, column, text):
    """Write JSON as it is, past Django; return *row*."""
    quote = connection.ops.quote_name
    table, pk = quote(row._meta.db_table), quote(row._meta.pk.column)
    with connection.cursor() as cursor:
        statement = f"UPDATE {table} SET {quote(column)} = %s WHERE {pk} = %s"
        cursor.execute(statement, [text, row.pk])
    return row


def rows_of(model):
    facts = {} if model is Worker else {"name": "tests.app.jobs.Anything"}
    return [factory(**facts) for factory in FACTORIES[model]]


def shown(client, row):
    """Return the text of the row's page, after a look at its list."""
    listed = client.get(list_url(row._meta.model_name))
    page = client.get(page_url(row))
    assert (200, 200) == (listed.status_code, page.status_code)
    return page.content.decode()


@pytest.mark.parametrize(("model", "column"), JSON_COLUMNS)
@pytest.mark.parametrize("text", STRANGE)
def test_strange_value(client, model, column, text):
    for row in rows_of(model):
        shown(client, written(row, column, text))


@pytest.mark.parametrize(("model", "column"), JSON_COLUMNS)
def test_deep_value(client, model, column):
    levels = DEEPEST[connection.vendor]
    for row in rows_of(model):
        shown(client, written(row, column, "[" * levels + "]" * levels))


@pytest.mark.parametrize(("model", "column"), JSON_COLUMNS)
def test_large_value(client, model, column):
    text = json.dumps([["x" * 50] * 10] * 4000)
    for row in rows_of(model):
        assert len(shown(client, written(row, column, text))) < 10 * TEXT_SHOWN


@pytest.mark.parametrize(
    "text",
    [*STRANGE, '[[1e300, "INFO", "a", "b"]]', '[["x", "INFO", "a", "b"]]', "[[1, 2, 3, 4]]"],
)
def test_strange_lines(client, text):
    row = FailedJobFactory()
    written(JobLogFactory(job=row), "entries", text)

    shown(client, row)


def test_long_list_of_errors_is_shown_by_its_end(client):
    row = FailedJobFactory(max_attempts=1)
    entries = [error_entry(number, row.finished_at) for number in range(1, ENTRIES_SHOWN + 3)]
    written(row, "errors", json.dumps(entries))

    text = shown(client, row)

    assert f"Attempt {ENTRIES_SHOWN + 2} was refused." in text
    assert "Attempt 3 was refused." in text
    assert "Attempt 2 was refused." not in text
    assert "2 earlier ones are not shown." in text
    assert ENTRIES_SHOWN == text.count('class="jobflow-event jobflow-event-attempt-failed"')


def test_large_texts_of_an_error(client):
    large = "<" * (TEXT_SHOWN + 1)
    row = FailedJobFactory(max_attempts=1)
    written(row, "errors", json.dumps([dict.fromkeys(row.errors[0], large) | {"at": "soon"}]))

    text = shown(client, row)

    assert "&lt;" * TEXT_SHOWN in text
    assert "&lt;" * (TEXT_SHOWN + 1) not in text
