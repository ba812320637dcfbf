"""Groups of failures, on each engine."""

from datetime import timedelta

import pytest
from django.utils import timezone

from django_jobflow import control, maintain, operate
from django_jobflow.engines import failures as engine_failures
from django_jobflow.failures import FailureTally, tally_of
from django_jobflow.fingerprints import fingerprint
from django_jobflow.models import FailureGroup, FailureOccurrence, JobRecord, Release
from django_jobflow.models.failures import HOUR, HOURS_KEPT, MOST_NAMES
from django_jobflow.observe import failed_like
from django_jobflow.outcomes import ErrorInfo, Failed
from django_jobflow.states import JobState
from tests.engines.contract import HOUR as AN_HOUR
from tests.engines.contract import LATER, MINUTE, NOON, Contract, ending, make, stored
from tests.factories import WorkerFactory

KIND = fingerprint("shop.errors.Refused", "shop.cards:charge", "Card 7 was refused.")
OTHER = fingerprint("builtins.KeyError", "", "'card'")


class FailuresContract(Contract):
    def append(self, *failures, release="", now=NOON):
        """Append failures as kind, name, and id of the job."""
        tally = FailureTally()
        for failure in failures:
            tally.add(*failure)
        self.engine.append_failures(tally.sums(), release, now)

    def group(self, kind=KIND):
        return FailureGroup.objects.get(pk=kind.digest)


class FoldTests(FailuresContract):
    def test_first_fold_makes_the_group(self):
        self.append((KIND, "pay", 1), (KIND, "pay", 2), (KIND, "refund", 3), release="r1")

        assert 2 == self.engine.fold_failures()

        hour = str(int(NOON.timestamp()) // HOUR * HOUR)
        assert {
            "fingerprint": KIND.digest,
            "exception": "shop.errors.Refused",
            "place": "shop.cards:charge",
            "message": "Card # was refused.",
            "count": 3,
            "first_seen_at": NOON,
            "last_seen_at": NOON,
            "last_job_id": 3,
            "names": {"pay": 2, "refund": 1},
            "releases": {"r1": 3},
            "history": {hour: 3},
            "muted_at": None,
            "muted_until": None,
            "muted_by": "",
        } == FailureGroup.objects.values().get()
        assert not FailureOccurrence.objects.exists()

    def test_later_fold_adds_to_it(self):
        self.append((KIND, "pay", 1), release="r1")
        self.engine.fold_failures()
        self.append((KIND, "pay", 2), (OTHER, "pay", 3), release="r2", now=LATER)
        self.append((KIND, "pay", 4), now=NOON - AN_HOUR)

        self.engine.fold_failures()

        group = self.group()
        assert (3, NOON - AN_HOUR, LATER, 2) == (
            group.count,
            group.first_seen_at,
            group.last_seen_at,
            group.last_job_id,
        )
        assert {"r1": 1, "r2": 1} == group.releases
        assert [1, 2] == group.by_hour(2, LATER)
        assert 1 == self.group(OTHER).count

    def test_many_rows_are_folded_some_at_a_time(self, monkeypatch):
        monkeypatch.setattr(engine_failures, "FOLD_BATCH", 2)
        for number in range(5):
            self.append((KIND, "pay", number))

        assert 5 == self.engine.fold_failures()
        assert 5 == self.group().count

    def test_nothing_to_fold_is_nothing(self):
        assert 0 == self.engine.fold_failures()

    def test_history_and_names_have_an_end(self):
        for days in range(9):
            self.append((KIND, f"job{days}", 1), now=NOON + days * 24 * AN_HOUR)
        self.append(*((KIND, f"job{number}", 1) for number in range(30)), now=NOON)
        self.engine.fold_failures()

        group = self.group()
        assert 39 == group.count
        assert MOST_NAMES == len(group.names)
        last = int((NOON + 8 * 24 * AN_HOUR).timestamp()) // HOUR * HOUR
        assert all(int(hour) > last - HOURS_KEPT * HOUR for hour in group.history)
        assert ["job0", "job1"] == list(group.most_frequent[:2])

    def test_what_was_put_there_by_hand_is_left_out(self):
        self.append((KIND, "pay", 1))
        self.engine.fold_failures()
        FailureGroup.objects.update(names=["what"], history={"soon": "many"})

        self.append((KIND, "pay", 2))
        self.engine.fold_failures()

        assert ({"pay": 1}, 2) == (self.group().names, self.group().count)


class FingerprintTests(FailuresContract):
    def failed(self, message="no 7"):
        record = make(JobState.IN_PROGRESS, spent=True)
        self.engine.settle([ending(record, Failed(ErrorInfo("E", message)))])
        return record

    def test_failed_records_are_found_by_their_kind(self):
        first, second, other = self.failed(), self.failed("no 8"), self.failed("yes")

        found = failed_like(fingerprint("E", "", "no 1").digest)

        assert [second.pk, first.pk] == [record.pk for record in found]
        assert other.pk not in {record.pk for record in found}

    def test_group_is_retried_and_found_no_more(self):
        records = [self.failed(), self.failed()]
        kind = stored(records[0]).fingerprint

        assert 2 == operate.retry_many(failed_like(kind)).done

        assert {(JobState.AVAILABLE, None)} == {
            (stored(record).state, stored(record).fingerprint) for record in records
        }
        assert not failed_like(kind).exists()

    def test_record_that_fails_by_its_own_verb_is_counted(self):
        record = make(JobState.IN_PROGRESS, spent=True)

        record.fail(ValueError("no 7"))

        assert stored(record).fingerprint == FailureOccurrence.objects.get().fingerprint

    def test_lost_and_pointless_records_are_counted(self):
        make(JobState.IN_PROGRESS, lapsed=True, spent=True, name="lost")
        make(JobState.IN_PROGRESS, lapsed=True, name="again")
        make(JobState.RESERVED, lapsed=True, name="held")
        make(expires_at=NOON, name="late")

        maintain.rescue(self.engine)
        self.engine.fold_failures()

        told = {group.message: group.names for group in FailureGroup.objects.all()}
        assert {
            "Its worker stopped renewing its lease.": {"lost": 1, "again": 1},
            "Not started before it became pointless.": {"late": 1},
        } == told
        assert {"lost", "late"} == set(
            JobRecord.objects.filter(fingerprint__isnull=False).values_list("name", flat=True)
        )


class MuteTests(FailuresContract):
    @pytest.fixture(autouse=True)
    def groups(self, served_by):
        self.append((KIND, "pay", 1), (OTHER, "pay", 2))
        self.engine.fold_failures()

    def muted(self, now):
        return {group.pk for group in FailureGroup.objects.muted(now)}

    def test_muted_until_it_is_unmuted(self):
        assert control.mute_failures(KIND.digest, by="zoe")

        now = timezone.now()
        assert {KIND.digest} == self.muted(now + timedelta(days=9999))
        assert {OTHER.digest} == {group.pk for group in FailureGroup.objects.not_muted(now)}
        assert ("zoe", True) == (self.group().muted_by, self.group().is_muted())
        assert control.unmute_failures(KIND.digest)
        assert not control.unmute_failures(KIND.digest)
        assert (set(), False) == (self.muted(now), self.group().is_muted())

    def test_muted_for_a_time(self):
        control.mute_failures(KIND.digest, for_=60)

        until = self.group().muted_until
        assert self.group().is_muted(until - MINUTE)
        assert not self.group().is_muted(until)
        assert ({KIND.digest}, set()) == (self.muted(until - MINUTE), self.muted(until))

    def test_muted_until_a_moment(self):
        until = timezone.now() + AN_HOUR

        control.mute_failures(KIND.digest, until=until)

        assert until == self.group().muted_until

    def test_group_that_is_not_there(self):
        assert not control.mute_failures("0" * 32)


class RetentionTests(FailuresContract):
    def test_group_that_was_not_seen_for_long_is_forgotten_unless_it_is_muted(self, settings):
        settings.JOBFLOW = {"RETAIN_FAILURES": 60}
        over, muted = (fingerprint("E", "", word) for word in ("over", "muted"))
        self.append((KIND, "pay", 1), now=timezone.now())
        self.append((OTHER, "pay", 1), (over, "pay", 1), (muted, "pay", 1))
        self.engine.fold_failures()
        control.mute_failures(muted.digest)
        control.mute_failures(over.digest, until=NOON)

        assert 2 == maintain.prune(self.engine)

        assert {KIND.digest, muted.digest} == {group.pk for group in FailureGroup.objects.all()}

    def test_groups_are_kept_for_ever(self, settings):
        settings.JOBFLOW = {"RETAIN_FAILURES": None}
        self.append((KIND, "pay", 1))
        self.engine.fold_failures()

        maintain.prune(self.engine)

        assert FailureGroup.objects.exists()


class ReleaseTests(FailuresContract):
    def test_release_is_noted_when_it_is_seen_first(self):
        assert self.engine.last_release() is None
        for release in ("r1", "r2", "r1", ""):
            self.engine.note_release(release)
        Release.objects.filter(name="r1").update(first_seen_at=NOON)

        assert {"r1", "r2"} == {release.name for release in Release.objects.all()}
        assert "r2" == self.engine.last_release().name

    def test_many_kinds_of_one_process_are_one_statement(self, django_assert_num_queries):
        kinds = [fingerprint("E", "", word) for word in "abcdefgh"]

        with django_assert_num_queries(1):
            self.append(*((kind, "pay", 1) for kind in kinds))

        assert 0 == len(tally_of([]).sums())

    def test_old_ones_are_forgotten_but_the_last_and_what_still_runs(self):
        for name, days in (("r1", 9), ("r2", 8), ("r3", 7), ("r4", 2), ("r5", 1)):
            Release.objects.create(name=name, first_seen_at=NOON - timedelta(days=days))
        WorkerFactory(release="r2")
        WorkerFactory()

        found = {
            retain: {row.name for row in self.engine.old_releases(timedelta(days=retain), NOON)}
            for retain in (7, 1, 10)
        }

        assert {7: {"r1", "r3"}, 1: {"r1", "r3", "r4"}, 10: set()} == found
        assert not self.engine.old_releases(timedelta(days=1), NOON).filter(name="r5")
