"""Rows that somebody has written by SQL, strange, deep or large: they break no page."""

import json
from itertools import product

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

JSON_COLUMNS = {
    model: [
        field.attname
        for field in model._meta.concrete_fields
        if isinstance(field, models.JSONField)
    ]
    for model in (JobRecord, SucceededJob, Worker)
}
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


def rows_of(model, text):
    """Yield a row for each column that holds JSON, with *text* in that column alone."""
    facts = {} if model is Worker else {"name": "tests.app.jobs.Anything"}
    for factory, column in product(FACTORIES[model], JSON_COLUMNS[model]):
        yield written(factory(**facts), column, text)


def pages_of(client, model, text):
    """Return what the page of each such row shows, after a look at the lists of all of them."""
    rows = list(rows_of(model, text))
    for name in {row._meta.model_name for row in rows}:
        assert 200 == client.get(list_url(name)).status_code
    return [page_of(client, row) for row in rows]


def page_of(client, row):
    """Return the text of the row's page."""
    page = client.get(page_url(row))
    assert 200 == page.status_code, row
    return page.content.decode()


@pytest.mark.parametrize("model", JSON_COLUMNS)
@pytest.mark.parametrize("text", STRANGE)
def test_strange_value(client, model, text):
    assert pages_of(client, model, text)


@pytest.mark.parametrize("model", JSON_COLUMNS)
def test_deep_value(client, model):
    levels = DEEPEST[connection.vendor]
    assert pages_of(client, model, "[" * levels + "]" * levels)


@pytest.mark.parametrize("model", JSON_COLUMNS)
def test_large_value(client, model):
    text = json.dumps([["x" * 50] * 10] * 4000)
    assert max(map(len, pages_of(client, model, text))) < 10 * TEXT_SHOWN


@pytest.mark.parametrize(
    "text",
    [*STRANGE, '[[1e300, "INFO", "a", "b"]]', '[["x", "INFO", "a", "b"]]', "[[1, 2, 3, 4]]"],
)
def test_strange_lines(client, text):
    row = FailedJobFactory()
    written(JobLogFactory(job=row), "entries", text)

    assert page_of(client, row)


def test_long_list_of_errors_is_shown_by_its_end(client):
    row = FailedJobFactory(max_attempts=1)
    entries = [error_entry(number, row.finished_at) for number in range(1, ENTRIES_SHOWN + 3)]
    written(row, "errors", json.dumps(entries))

    text = page_of(client, row)

    assert f"Attempt {ENTRIES_SHOWN + 2} was refused." in text
    assert "Attempt 3 was refused." in text
    assert "Attempt 2 was refused." not in text
    assert "2 earlier ones are not shown." in text
    assert ENTRIES_SHOWN == text.count('class="jobflow-event jobflow-event-attempt-failed"')


def test_large_texts_of_an_error(client):
    large = "<" * (TEXT_SHOWN + 1)
    row = FailedJobFactory(max_attempts=1)
    written(row, "errors", json.dumps([dict.fromkeys(row.errors[0], large) | {"at": "soon"}]))

    text = page_of(client, row)

    assert "&lt;" * TEXT_SHOWN in text
    assert "&lt;" * (TEXT_SHOWN + 1) not in text
