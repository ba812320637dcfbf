"""``manage.py jobflow bulk``, and the verbs with ``--search``."""

import pytest

from django_jobflow import bulk
from django_jobflow.models import AuditEntry, BulkOperation, JobRecord
from django_jobflow.search import parse
from tests.factories import FailedJobFactory, JobRecordFactory, SucceededJobFactory
from tests.management.asking import ask, ask_json, refusal

pytestmark = pytest.mark.django_db


def states():
    return list(JobRecord.objects.order_by("pk").values_list("state", flat=True))


@pytest.fixture
def failed():
    return FailedJobFactory.create_batch(3, queue="email")


class VerbTests:
    def test_retry_of_all_that_matches(self, failed):
        FailedJobFactory(queue="sms")

        dry = ask("retry", "--search=queue:email*", "--dry-run")
        assert (0, "This would retry 3 jobs.\n") == dry
        told = "This would retry 3 jobs. Add --yes to do it."
        assert (1, told) == refusal("retry", "--search=queue:email")
        assert not BulkOperation.objects.exists()

        done = ask("retry", "--search=queue:email", "--yes")
        assert (0, "3 jobs will run again.\n") == done
        assert [*["AVAILABLE"] * 3, "FAILED"] == states()
        assert ["start_bulk", "end_bulk"] == list(
            AuditEntry.objects.order_by("id").values_list("action", flat=True)
        )

    def test_json(self, failed):
        assert {"dry_run": True, "count": 3, "more": False} == ask_json(
            "run-now", "--search=queue:email state:failed", "--dry-run"
        )
        assert {"dry_run": False, "done": 3, "asked": 0, "skipped": 0, "missing": 0} == ask_json(
            "delete", "--search=queue:email", "--yes"
        )

    def test_history_can_be_deleted(self):
        SucceededJobFactory()

        search = "--search=state:succeeded queue:default"
        assert (0, "1 job deleted.\n") == ask("delete", search, "--yes")

    def test_operation_that_breaks_is_a_failure(self, failed, monkeypatch):
        def broken(*_):
            raise ZeroDivisionError

        monkeypatch.setattr("django_jobflow.operate.do_part", broken)

        assert 1 == ask("retry", "--search=queue:email", "--yes")[0]


class BulkTests:
    def test_operation_is_looked_at_started_and_carried_out(self, failed):
        search = "--search=state:failed queue:email"
        assert (0, "This would retry 3 jobs.\n") == ask("bulk", "retry", search, "--dry-run")
        assert (1, "This would retry 3 jobs. Add --yes to do it.") == refusal(
            "bulk", "retry", search
        )
        told = ask_json("bulk", "retry", search, "--dry-run")
        assert (3, "state:failed queue:email") == (told["count"], told["search"])

        started = ask("bulk", "retry", search, "--yes")[1]
        operation = BulkOperation.objects.get()
        subject = f"Operation {operation.pk} (retry state:failed queue:email) is"
        assert f"{subject} running: 0 done, 0 looked at.\n" == started
        assert ["FAILED"] * 3 == states()

        assert (0, f"{subject} done: 3 done, 3 looked at.\n") == ask("bulk", "run", operation.pk)
        assert ["AVAILABLE"] * 3 == states()

    def test_operation_is_stopped_and_goes_on(self, failed):
        operation = bulk.start("retry", parse("state:failed"))

        assert "STOPPED" == ask_json("bulk", "stop", operation.pk)["state"]
        assert "STOPPED" == ask_json("bulk", "run", operation.pk)["state"]
        assert "RUNNING" == ask_json("bulk", "resume", operation.pk)["state"]
        assert 0 == ask_json("bulk", "show", operation.pk)["done"]

    def test_list(self, failed):
        assert (0, "There are no bulk operations.\n") == ask("bulk")
        operation = bulk.start("retry", parse("state:failed"), by="ann")

        printed = ask("bulk")[1]
        assert all(word in printed for word in ("retry", "state:failed", "running", "ann"))
        [told] = ask_json("bulk")["operations"]
        assert (operation.pk, "retry", "RUNNING") == (told["id"], told["action"], told["state"])

    def test_pace_is_kept_where_it_is_carried_out(self, monkeypatch):
        monkeypatch.setattr(bulk, "CHUNK", 1)
        JobRecordFactory.create_batch(2)
        slept = []
        monkeypatch.setattr("django_jobflow.management.carrying.time.sleep", slept.append)
        operation = bulk.start("cancel", parse("queue:default"), rate=1)

        ask("bulk", "run", operation.pk)

        assert slept
        assert max(slept) <= 0.2

    @pytest.mark.parametrize(
        ("arguments", "code", "text"),
        [
            (["retry"], 2, "bulk: expected --search."),
            (["stop"], 2, "bulk stop: expected a number."),
            (["stop", "7"], 1, "There is no bulk operation 7."),
            (
                ["run-now", "--search=state:succeeded", "--yes"],
                2,
                "Bulk operation: expected state:succeeded to stand with delete: what has "
                "succeeded has ended.",
            ),
        ],
    )
    def test_refusals(self, arguments, code, text):
        assert (code, text) == refusal("bulk", *arguments)
