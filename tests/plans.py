"""Large tables, and what is wrong with the plans of statements on them."""

import contextlib
import json

from django.db import connection

from django_jobflow.admin.lists import LIST_LIMIT
from django_jobflow.models import JobRecord, SucceededJob
from django_jobflow.states import JobState
from tests.factories import JobRecordFactory, SucceededJobFactory

TABLES = ("jobflow_job", "jobflow_succeeded")
# A search that no index serves is made among the first 10,000 rows of an order that has one, and
# an action on what it finds counts up to 100,000. In a table of this size a planner would rather
# read all of it than look these up; what it does in a large one is measured by the command
# ``python -m benchmarks desk``.
BOUNDED = ("LIMIT 10000) jobflow_window", "LIMIT 100001) subquery")
FEW = 200  # rows that may be sorted, since they were named
SEED = 200
# 204,800 rows of each table on PostgreSQL, 51,200 on MariaDB; SQLite does not plan by numbers.
DOUBLINGS = {"postgresql": 10, "mysql": 8}.get(connection.vendor, 4)
WEIGHTS = dict.fromkeys(JobState, 10) | {JobState.AVAILABLE: 70, JobState.FAILED: 60}


def fill(doublings=DOUBLINGS):
    """Store many live records, some of each state, and as many successes."""
    for state, count in WEIGHTS.items():
        JobRecord.objects.bulk_create(JobRecordFactory.build_batch(count, state=state))
    SucceededJob.objects.bulk_create(
        SucceededJobFactory.build(id=number) for number in range(SEED)
    )
    for doubling in range(doublings):
        double(JobRecord)
        double(SucceededJob, id=f"id + {SEED * 2**doubling}")
    if connection.vendor != "mysql":  # where it would commit what is to be rolled back
        for table in TABLES:
            run(f"ANALYZE {table}")


def double(model, where="1 = 1", **values):
    """Store each row of *model* once more, or those *where* something holds.

    The id has to be among *values*, if the model needs one.
    """
    fields = [
        field
        for field in model._meta.concrete_fields
        if field.name in values or field.name != "id"
    ]
    quote = connection.ops.quote_name
    columns = ", ".join(quote(field.column) for field in fields)
    copied = ", ".join(values.get(field.name, quote(field.column)) for field in fields)
    table = model._meta.db_table
    run(f"INSERT INTO {table} ({columns}) SELECT {copied} FROM {table} WHERE {where}")


def run(sql, params=None):
    """Execute *sql* and return its rows as dicts."""
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        if cursor.description is None:
            return []
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def problems_of_postgresql(sql, params):
    plan = run(f"EXPLAIN (FORMAT JSON) {sql}", params)[0]["QUERY PLAN"]
    plan = json.loads(plan) if isinstance(plan, str) else plan
    for node in nodes_below(plan[0]["Plan"]):
        if "Seq Scan" in node["Node Type"] and not node.get("is_cut"):
            yield f"scans {node['Relation Name']}"
        is_small = node["Plan Rows"] <= FEW or is_small_count(sql, node["Plan Rows"])
        if node["Node Type"] == "Sort" and not is_small:
            yield f"sorts {node['Plan Rows']} rows by {node['Sort Key']}"


def nodes_below(node):
    yield node
    for child in node.get("Plans", ()):
        # Of a scan that leaves nothing out, a limit reads as many rows as it returns.
        child["is_cut"] = node["Node Type"] == "Limit" and "Filter" not in child
        yield from nodes_below(child)


def problems_of_sqlite(sql, params):
    is_bounded = "ORDER BY" in sql and "LIMIT" in sql
    details = [row["detail"] for row in run(f"EXPLAIN QUERY PLAN {sql}", params)]
    are_named = any(detail.endswith("(rowid=?)") for detail in details)
    for detail in details:
        # Some rows in the order of the rowid are called a scan of the table too.
        is_scan = detail in {f"SCAN {table}" for table in TABLES} and not is_bounded
        if is_scan or (detail == "USE TEMP B-TREE FOR ORDER BY" and not are_named):
            yield detail


def problems_of_mysql(sql, params):
    for row in run(f"EXPLAIN {sql}", params):
        if row["table"] not in TABLES:
            continue
        if row["type"] == "ALL":
            yield f"scans {row['table']}"
        if "filesort" in (row["Extra"] or "") and not is_small_count(sql, row["rows"]):
            yield f"sorts {row['rows']} rows"


def is_small_count(sql, rows):
    """Say whether this counts not many more rows than are asked for: it may sort just them."""
    counts = "COUNT(" in sql or f"OFFSET {LIST_LIMIT}" in sql
    return counts and rows < 3 * LIST_LIMIT


PROBLEMS = {
    "postgresql": problems_of_postgresql,
    "sqlite": problems_of_sqlite,
    "mysql": problems_of_mysql,
}


@contextlib.contextmanager
def noting():
    """Note the statements about the large tables."""
    statements = []

    def note(execute, sql, params, many, context):
        if any(table in sql for table in TABLES):
            statements.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        yield statements


def problems(statements):
    """Return what is wrong with the plans of *statements*, of which there are some."""
    assert statements
    return problems_of(statements)


def problems_of(statements):
    """Return what is wrong with the plans of *statements*."""
    problems_here = PROBLEMS[connection.vendor]
    return [
        each
        for sql, params in statements
        if not any(bound in sql for bound in BOUNDED)
        for each in problems_here(sql, params)
    ]
