"""What a search finds: all that a reading of each row would, and nothing else."""

from datetime import UTC, datetime, timedelta
from typing import ClassVar

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_jobflow import Job, observe
from django_jobflow.declare import registry
from django_jobflow.models import Batch, JobRecord, SucceededJob
from django_jobflow.observe import searching
from django_jobflow.observe.searching import Plan, chosen_states
from django_jobflow.search import parse
from tests.factories import JobRecordFactory, SucceededJobFactory, error_entry

pytestmark = pytest.mark.django_db
NOW = datetime(2030, 1, 31, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
NOON_BEFORE = NOW - 26 * HOUR
KIND, OTHER_KIND = "a" * 32, "b" * 32


@pytest.fixture(autouse=True)
def declared():
    with registry.isolated():

        class Send(Job):
            name = "shop.Send"
            aliases = ("shop.OldSend",)
            sensitive = frozenset({"card"})

            def perform(self, order_id, card=None, *, note=None): ...

        yield


def error_of(kind):
    return [error_entry(1, NOW), error_entry(2, NOW) | {"exception": kind}]


ROWS = {
    "available": {"queue": "email", "priority": 5, "kwargs": {"order_id": 7}},
    "other queue": {"queue": "email2", "partition": "acme", "tags": ["a", "b"]},
    "old": {"now": NOW - 5 * HOUR, "args": [7], "kwargs": {}},
    "renamed": {"name": "shop.OldSend", "kwargs": {"order_id": "7"}},
    "stranger": {"name": "other.Job", "kwargs": {"order_id": 7}},
    "secret": {"args": [8, "7"], "kwargs": {}},
    "secret by name": {"kwargs": {"order_id": None, "card": 7, "note": "a b"}},
    "scheduled": {"state": "SCHEDULED", "available_at": NOW + 3 * HOUR},
    "retry": {"state": "RETRY", "errors": error_of("smtplib.SMTPException")},
    "running": {"state": "IN_PROGRESS", "reserved_by": "host-2:1"},
    "reserved": {"state": "RESERVED", "queue_key": "k"},
    "waiting": {"state": "WAITING", "execution_key": "k"},
    "failed": {"state": "FAILED", "errors": error_of("smtplib.SMTPException"), "attempt": 2},
    "failed before": {"state": "FAILED", "now": NOW - 26 * HOUR, "queue": "email"},
    "failed otherwise": {"state": "FAILED", "errors": error_of("shop.NoSMTPException")},
    "cancelled": {"state": "CANCELLED", "queue_key": "k"},
}

SEARCHES = {
    "": set(ROWS),
    "state:failed": {"failed", "failed before", "failed otherwise"},
    "state:failed,cancelled": {"failed", "failed before", "failed otherwise", "cancelled"},
    "-state:failed,available,waiting,in_progress": {
        "scheduled",
        "retry",
        "reserved",
        "cancelled",
    },
    "state:failed -state:failed": set(),
    "queue:email": {"available", "failed before"},
    "queue:email*": {"available", "failed before", "other queue"},
    "-queue:default,email": {"other queue"},
    "state:available queue:email": {"available"},
    "state:available queue:email,email2": {"available", "other queue"},
    "state:available queue:email queue:email2": set(),
    "state:available,failed queue:email": {"available", "failed before"},
    "name:other.Job": {"stranger"},
    "name:other.*,shop.Old*": {"stranger", "renamed"},
    "OLDSEND": {"renamed"},
    "partition:acme": {"other queue"},
    'state:available partition:""': {
        "available",
        "old",
        "renamed",
        "stranger",
        "secret",
        "secret by name",
    },
    "tag:b": {"other queue"},
    "tag:c": set(),
    "state:available tag:a": {"other queue"},
    'worker:"host-2:1"': {"running"},
    "worker:host-*": {"running", "reserved"},
    "key:k": {"reserved", "waiting"},
    "key:k state:cancelled,waiting": {"cancelled", "waiting"},
    "key:none": set(),
    "error:SMTPException": {"retry", "failed"},
    "error:smtplib.SMTPException": {"retry", "failed"},
    "error:SMTP*": {"retry", "failed"},
    "state:failed error:SMTPException": {"failed"},
    "state:failed -error:SMTPException": {"failed before", "failed otherwise"},
    "state:available -error:SMTPException": {
        "available",
        "other queue",
        "old",
        "renamed",
        "stranger",
        "secret",
        "secret by name",
    },
    "arg.order_id:7": {"available", "old", "renamed"},
    "arg.order_id:null": {"secret by name"},
    "state:available arg.order_id:7,8": {"available", "old", "renamed", "secret"},
    'arg.note:"a b"': {"secret by name"},
    "arg.card:7": set(),
    "arg.none:7": set(),
    "age>4h": {"old", "failed before"},
    "state:failed age>4h": {"failed before"},
    "state:failed age<=4h": {"failed", "failed otherwise"},
    "state:available age>4h": {"old"},
    "ended:2030-01-30": {"failed before"},
    "state:failed,cancelled ended<2030-01-31": {"failed before"},
    "state:failed ended>2030-01-30": {"failed", "failed otherwise"},
    "state:failed ended>=2030-01-31T12:00+00:00": {"failed", "failed otherwise"},
    "enqueued<=2030-01-30": {"failed before"},
    "state:scheduled due>2030-01-31T14:00+00:00": {"scheduled"},
    "state:scheduled,retry due<2030-01-31T14:00+00:00": {"retry"},
    "priority:5": {"available"},
    "-priority:0": {"available"},
    "priority>=5 attempt<1": {"available"},
    "attempt>2": {"failed before", "failed otherwise"},
}


@pytest.fixture
def names():
    """Store the rows; return their names by id."""
    stored = {}
    for name, values in ROWS.items():
        facts = {"name": "shop.Send", "now": NOW, "kwargs": {"order_id": 1}} | values
        stored[JobRecordFactory(**facts).pk] = name
    return stored


class LiveTests:
    def test_each_search_finds_what_it_says(self, names):
        for text, expected in SEARCHES.items():
            search = parse(text)

            found = observe.find_rows(search, now=NOW).rows
            assert expected == {names[pk] for pk in found.values_list("pk", flat=True)}, text
            assert len(expected) == found.count(), text

    def test_parts_that_an_operation_does_are_the_same(self, names):
        for text, expected in SEARCHES.items():
            plan = Plan(parse(text), JobRecord._base_manager.all(), NOW)

            sought = list(plan.seek.order_by("pk").values_list("pk", flat=True))
            rows = plan.sift(plan.seek.filter(pk__in=sought))
            assert expected == {names[pk] for pk in rows.values_list("pk", flat=True)}, text

    def test_number_and_batch(self, names):
        batch = Batch.objects.open()
        first, second = list(names)[:2]
        JobRecord.objects.filter(pk=second).update(batch_id=batch.pk)

        for text, expected in {
            f"{first}": {first},
            f"id:{first},{second}": {first, second},
            f"id:{first},{second} -queue:email": {second},
            f"batch:{batch.pk}": {second},
            f"batch:{batch.pk} state:failed": set(),
            f"batch:{batch.pk} queue:email2": {second},
        }.items():
            found = observe.find_rows(parse(text)).rows
            assert expected == set(found.values_list("pk", flat=True)), text

    def test_only_among_some_rows(self, names):
        rows = JobRecord.objects.filter(queue="email")

        found = observe.find_rows(parse("state:available,failed shop"), rows=rows)

        assert {"available", "failed before"} == {names[row.pk] for row in found.rows}


def test_text_is_no_number(names):
    if getattr(connection, "mysql_is_mariadb", False):
        pytest.skip("A number in JSON equals its text there.")

    found = observe.find_rows(parse('arg.order_id:"7"')).rows

    assert {"renamed"} == {names[row.pk] for row in found}


class KindTests:
    """Jobs that have failed alike."""

    ROWS: ClassVar = {
        "email": {"queue": "email", "queue_key": "k"},
        "old": {"now": NOW - 26 * HOUR},
        "another": {"fingerprint": OTHER_KIND},
    }
    SEARCHES: ClassVar = {
        f"fingerprint:{KIND}": ["old", "email"],
        f"state:failed fingerprint:{KIND}": ["old", "email"],
        f"-state:cancelled fingerprint:{KIND}": ["old", "email"],
        f"state:cancelled fingerprint:{KIND}": [],
        f"state:failed fingerprint:{KIND} age>4h": ["old"],
        f"fingerprint:{KIND} ended:2030-01-31": ["email"],
        f"fingerprint:{KIND} queue:email": ["email"],
        f"fingerprint:{KIND} key:k": ["email"],
        f"fingerprint:{KIND} batch:7": [],
        f"fingerprint:{KIND} worker:host-1": [],
        f"fingerprint:{KIND} fingerprint:{KIND}": ["old", "email"],
        f"fingerprint:{KIND} fingerprint:{OTHER_KIND}": [],
        f"fingerprint:{OTHER_KIND}": ["another"],
    }

    @pytest.fixture
    def kinds(self):
        stored = {}
        for name, values in self.ROWS.items():
            facts = {"state": "FAILED", "now": NOW, "fingerprint": KIND} | values
            stored[JobRecordFactory(**facts).pk] = name
        JobRecordFactory(state="FAILED")
        return stored

    def test_they_are_found_the_newest_first(self, kinds):
        for text, expected in self.SEARCHES.items():
            found = observe.find_rows(parse(text), now=NOW)
            assert expected == [kinds[row.pk] for row in found.rows], text
            assert len(expected) == found.rows.count(), text

        one = min(kinds)
        found = observe.find_rows(parse(f"{one} fingerprint:{KIND}"))
        assert [one] == [row.pk for row in found.rows]

    def test_parts_that_an_operation_does_are_the_same(self, kinds):
        for text, expected in self.SEARCHES.items():
            plan = Plan(parse(text), JobRecord._base_manager.all(), NOW)
            found = plan.sift(plan.seek).order_by("-pk")
            assert expected == [kinds[row.pk] for row in found], text

    def test_index_answers_for_all_of_a_kind(self, kinds):
        found = observe.find_rows(parse(f"fingerprint:{KIND}"), window=1)

        assert (2, None) == (found.rows.count(), found.looked_at)

    def test_class_of_an_error_is_looked_up_where_many_have_failed(self, monkeypatch):
        monkeypatch.setattr(searching, "WINDOW", 3)
        rare = [
            JobRecordFactory(
                state="FAILED", now=NOON_BEFORE, fingerprint=kind, errors=error_of("a.Rare")
            ).pk
            for kind in (KIND, KIND, OTHER_KIND)
        ]
        JobRecordFactory.create_batch(5, state="FAILED", now=NOW, fingerprint="c" * 32)
        for text, expected in {
            "state:failed error:Rare": rare,
            "state:failed error:a.R* age>1h": rare,
            "state:failed error:Rare age<1h": [],
            "state:failed error:None": [],
        }.items():
            found = observe.find_rows(parse(text), now=NOW, window=6)
            assert sorted(expected) == sorted(row.pk for row in found.rows), text

        plan = Plan(parse("state:failed error:Rare"), JobRecord._base_manager.all(), NOW)
        assert plan.is_answered
        assert sorted(rare) == sorted(plan.sift(plan.seek).values_list("pk", flat=True))

    @pytest.mark.parametrize("bound", ["MOST_KINDS", "MOST_WELLS"])
    def test_of_too_many_kinds_the_latest_jobs_are_looked_through(self, monkeypatch, bound):
        monkeypatch.setattr(searching, "WINDOW", 2)
        monkeypatch.setattr(searching, bound, 2)
        latest = [
            JobRecordFactory(state="FAILED", now=NOW + n * HOUR, fingerprint=f"{n:032x}").pk
            for n in range(4)
        ]

        found = observe.find_rows(parse("state:failed error:ConnectionError"), window=3)

        assert latest[:0:-1] == [row.pk for row in found.rows]

    def test_what_has_succeeded_is_of_no_kind(self):
        SucceededJobFactory()

        assert not observe.find_rows(parse(f"state:succeeded fingerprint:{KIND}")).rows


class WindowTests:
    def test_index_answers_for_all(self):
        JobRecordFactory.create_batch(5, state="FAILED")

        found = observe.find_rows(parse("state:failed"), window=2)

        assert (5, None, False) == (found.rows.count(), found.looked_at, found.is_cut)

    @pytest.mark.parametrize(("window", "count", "is_cut"), [(2, 2, True), (5, 5, False)])
    def test_what_no_index_answers_is_looked_for_among_the_first(self, window, count, is_cut):
        rows = JobRecordFactory.create_batch(5, state="FAILED", queue="email")
        JobRecordFactory.create_batch(3)

        found = observe.find_rows(parse("state:failed queue:email"), window=window)

        assert (window, is_cut) == (found.looked_at, found.is_cut)
        latest = sorted((row.pk for row in rows), reverse=True)[:count]
        assert latest == list(found.rows.values_list("pk", flat=True))

    def test_several_states_share_what_is_looked_through(self):
        JobRecordFactory.create_batch(3, state="FAILED")
        JobRecordFactory.create_batch(3, state="CANCELLED")

        found = observe.find_rows(parse("state:failed,cancelled"), window=4)

        assert (4, 4, True) == (found.rows.count(), found.looked_at, found.is_cut)

    def test_old_ones_are_looked_for_from_the_oldest(self):
        old, *_ = JobRecordFactory.create_batch(5)

        found = observe.find_rows(parse("age>1s"), window=1, now=NOW)

        assert [old.pk] == list(found.rows.values_list("pk", flat=True))


class SucceededTests:
    def test_successes_are_found(self):
        one = SucceededJobFactory(queue="email", now=NOW, batch_id=7, queue_key="k")
        old = SucceededJobFactory(now=NOW - 5 * HOUR)

        for text, expected in {
            "state:succeeded": [one.pk, old.pk],
            "state:succeeded queue:email": [one.pk],
            "state:succeeded age>4h": [old.pk],
            "state:succeeded age<4h queue:email*": [one.pk],
            f"state:succeeded {old.pk}": [old.pk],
            "state:succeeded ended:2030-01-31 batch:7 key:k": [one.pk],
        }.items():
            found = observe.find_rows(parse(text), now=NOW)
            assert SucceededJob is found.rows.model
            assert expected == list(found.rows.values_list("pk", flat=True)), text


def test_states_that_are_left():
    assert None is chosen_states(parse("queue:a"))
    assert ["FAILED"] == chosen_states(parse("state:failed,cancelled -state:cancelled"))
    assert "SUCCEEDED" not in chosen_states(parse("-state:failed"))


def test_search_is_one_statement_and_one_for_its_edge():
    JobRecordFactory(state="FAILED")
    with CaptureQueriesContext(connection) as captured:
        found = observe.find_rows(parse("state:failed queue:email"))
        list(found.rows)
        assert not found.is_cut
    assert 2 == len(captured)
