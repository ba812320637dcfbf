"""What a job says not to be seen is in no error, log line or text that a worker makes."""

import json
import logging

import pytest

from django_jobflow.arguments import DOTS
from django_jobflow.models import JobRecord, SucceededJob
from django_jobflow.states import JobState
from tests.app import jobs

CARD = "4111-1111-1111-1111"
TAMPERED = {"$jobflow": "date", "value": CARD}


@pytest.fixture
def everything_logged(caplog):
    caplog.set_level(logging.DEBUG, "django_jobflow")
    return caplog


def logged(caplog):
    """Return all that is in the log: the lines as they are printed, and what they carry."""
    form = logging.Formatter("%(message)s")
    return "".join(f"{form.format(record)} {vars(record)}" for record in caplog.records)


def error_of(record):
    record.refresh_from_db()
    assert JobState.FAILED == record.state
    (error,) = record.errors
    assert CARD not in json.dumps(record.errors)
    return error


class ErrorTests:
    @pytest.mark.parametrize("call", [([7, CARD], {}), ([], {"order_id": 7, "card": CARD})])
    def test_error_of_a_body_does_not_quote_it(self, drain, everything_logged, call):
        args, kwargs = call
        record = jobs.Charge.enqueue(*args, **kwargs, how="refused")

        drain()

        error = error_of(record)
        assert ("builtins.ValueError", f"refused: '{DOTS}'") == (
            error["exception"],
            error["message"],
        )
        assert f"KeyError: '{DOTS}'" in error["traceback"]
        assert f"ValueError: refused: '{DOTS}'" in error["traceback"]
        assert f"message=\"refused: '{DOTS}'\"" in everything_logged.text
        assert CARD not in logged(everything_logged)

    def test_error_of_an_async_body_does_not_quote_it(self, drain, everything_logged):
        record = jobs.charge_async.enqueue(7, CARD)

        drain()

        assert f"refused: {DOTS}" == error_of(record)["message"]
        assert CARD not in logged(everything_logged)

    def test_error_of_a_transactional_body_does_not_quote_it(self, drain, everything_logged):
        record = jobs.ChargeAndTell.enqueue(CARD, fails=True)

        drain()

        assert f"refused: {DOTS}" == error_of(record)["message"]
        assert CARD not in logged(everything_logged)

    def test_result_that_is_refused_is_not_quoted(self, drain, everything_logged):
        record = jobs.Charge.enqueue(7, CARD, how="return a set")

        drain()

        assert (
            f"{record.name}: expected perform to return JSON, got {DOTS} at result."
        ) == error_of(record)["message"]
        assert CARD not in logged(everything_logged)

    @pytest.mark.parametrize("job", [jobs.Charge, jobs.charge_async])
    def test_argument_that_cannot_be_read_back_is_not_quoted(self, drain, everything_logged, job):
        record = job.enqueue(order_id=7, card="")
        JobRecord.objects.update(kwargs={"order_id": 7, "card": TAMPERED})

        drain()

        error = error_of(record)
        assert (
            f"{record.name}: expected stored arguments that can be read back, got {DOTS} at "
            f"kwargs['card']."
        ) == error["message"]
        assert CARD not in logged(everything_logged)

    def test_verb_that_is_used_by_hand_does_not_quote_it(self, transactional_db):
        record = jobs.Charge.enqueue(7, CARD)
        (record,) = JobRecord.objects.reserve(1, worker="by hand")
        record.start()

        record.fail(ValueError(f"refused: {CARD}"))

        assert f"refused: {DOTS}" == error_of(record)["message"]

    def test_hook_that_fails_after_the_commit_is_not_quoted(self, drain, everything_logged):
        record = jobs.ChargeAndTell.enqueue(CARD)

        drain()

        assert record.pk == SucceededJob.objects.get().pk
        (line,) = (
            entry
            for entry in everything_logged.records
            if getattr(entry, "event", "") == "on_commit_failed"
        )
        text = logging.Formatter("%(message)s").format(line)
        assert text.startswith(f"on_commit_failed job_id={record.pk} job_name={record.name} ")
        assert f"RuntimeError: nobody listens to {DOTS}" in text
        assert CARD not in logged(everything_logged)


class RunTests:
    def test_body_gets_what_was_passed(self, drain):
        jobs.Charge.enqueue(7, CARD)

        drain()

        assert {"charged": CARD} == SucceededJob.objects.get().result

    def test_record_does_not_show_its_arguments(self, transactional_db):
        record = jobs.Charge.enqueue(7, CARD)

        assert CARD not in f"{record} {record!r} {record.exception}"
