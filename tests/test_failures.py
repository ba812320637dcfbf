from django_jobflow import failures
from django_jobflow.endings import decide
from django_jobflow.failures import FailureTally, tally_of
from django_jobflow.fingerprints import fingerprint
from django_jobflow.outcomes import ErrorInfo, Failed, Succeeded
from tests.test_endings import reserved

KIND = fingerprint("E", "shop:send", "no")


def told(tally):
    return [(each.fingerprint, each.name, each.count, each.job_id) for each in tally.sums()]


class TallyTests:
    def test_alike_failures_of_one_job_are_one(self):
        tally = FailureTally()
        for pk, name in ((1, "a"), (2, "b"), (3, "a")):
            tally.add(KIND, name, pk)

        assert [(KIND, "a", 2, 3), (KIND, "b", 1, 2)] == told(tally)

    def test_success_is_none(self):
        assert not tally_of([decide(reserved(), Succeeded())])

    def test_end_tells_its_kind(self):
        error = ErrorInfo("E", "no 7", place="shop:send")

        tally = tally_of([decide(reserved(attempt=attempt), Failed(error)) for attempt in (2, 3)])

        assert [(fingerprint("E", "shop:send", "no #"), "shop.jobs.Charge", 2, 7)] == told(tally)

    def test_too_many_kinds_are_not_told_apart(self, monkeypatch):
        monkeypatch.setattr(failures, "MOST", 2)
        tally = FailureTally()
        for message in ("a", "b", "c", "a"):
            tally.add(fingerprint("E", "", message), "job", 1)

        assert [("a", 2), ("b", 1)] == [
            (each.fingerprint.message, each.count) for each in tally.sums()
        ]

    def test_what_is_written_is_not_counted_again(self):
        tally = FailureTally()
        tally.add(KIND, "a", 1)

        tally.clear()

        assert (False, []) == (bool(tally), tally.sums())
