"""What every engine promises: the ground of the behaviour classes beside this module.

A behaviour class derives from ``Contract`` and is then run with each engine that can serve the
database of this session: that database's own, and the portable one where the database is one of
those that it is meant for. What an engine cannot do is skipped by capability.
"""

from datetime import UTC, datetime, timedelta
from itertools import groupby

import pytest
from django.db import connection

from django_jobflow import engines
from django_jobflow.attempts import reservation_of
from django_jobflow.declare import registry
from django_jobflow.endings import decide
from django_jobflow.engines import Engine, engine_for
from django_jobflow.models import JobRecord, SucceededJob
from django_jobflow.states import JobState
from tests.factories import JobRecordFactory

NOON = datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=UTC)
LATER = NOON + timedelta(minutes=5)
TICK = timedelta(microseconds=1)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)

FREE = {"reserved_by": None, "reserved_at": None, "expires": None}
"""What a record that nobody holds has in the columns of its holder."""


def candidates():
    """Return the engines that can serve the database of this session."""
    own = type(engine_for("default"))
    # The portable engine asks the database for moments, so it needs one that keeps their zone.
    portable = {Engine} if connection.features.supports_timezones else set()
    return sorted({own} | portable, key=lambda engine: engine is Engine)


def stored(record):
    """Return *record* as the database has it, or None."""
    return JobRecord._base_manager.using(record._state.db).filter(pk=record.pk).first()


def columns(record):
    """Return all that a row holds, by column."""
    fields = record._meta.concrete_fields
    return {field.attname: getattr(record, field.attname) for field in fields}


def changes(record):
    """Return what the database has otherwise than *record*, by column; {} when it is as it was."""
    now, before = columns(stored(record)), columns(record)
    return {column: value for column, value in now.items() if value != before[column]}


def live():
    """Return the state of each live record by its id, in the order of the ids."""
    return dict(JobRecord.objects.order_by("pk").values_list("pk", "state"))


def succeeded():
    """Return the ids of the jobs that succeeded."""
    return set(SucceededJob.objects.values_list("pk", flat=True))


def make(state=JobState.AVAILABLE, **facts):
    """Return a record around NOON."""
    return JobRecordFactory(**{"state": state, "now": NOON} | facts)


def make_many(count, state, **facts):
    """Store *count* records around NOON that are all alike, in one statement."""
    alike = columns(JobRecordFactory.build(**{"state": state, "now": NOON} | facts))
    del alike["id"]
    return JobRecord.objects.bulk_create([JobRecord(**alike) for _ in range(count)])


def ending(record, outcome):
    """Return what *outcome* means for the attempt that holds *record*."""
    return decide(reservation_of(record), outcome)


def in_order(records):
    """Return the names of *records* as they come, runs of one name as one."""
    return [name for name, _ in groupby(record.name for record in records)]


class ServedByEngines:
    """Tests that are run with each engine; ``self.engine`` is the one of the moment."""

    @pytest.fixture(autouse=True, params=candidates(), ids=lambda engine: engine.__name__)
    def served_by(self, request, monkeypatch):
        """Let every verb go through one engine, the queryset's and the record's included."""
        monkeypatch.setitem(engines._BY_VENDOR, connection.vendor, request.param)
        self.engine = engine_for("default")
        assert type(self.engine) is request.param

    @pytest.fixture(autouse=True)
    def own_jobs(self):
        """Forget the jobs that a test declares."""
        with registry.isolated():
            yield


@pytest.mark.django_db
class Contract(ServedByEngines):
    """The base of a behaviour class."""
