"""Bodies that run elsewhere: of all who would begin one, one is let."""

from django_jobflow.engines.elsewhere import Standing
from django_jobflow.engines.verbs import reservation_of
from django_jobflow.models import JobRecord
from django_jobflow.states import JobState
from tests.engines.contract import NOON, Contract, make, stored


def running(**facts):
    return make(JobState.IN_PROGRESS, attempt=1, **facts)


class BeginningTests(Contract):
    def test_body_begins_once(self, django_assert_num_queries):
        record = running()

        with django_assert_num_queries(1):
            assert self.engine.begin(reservation_of(record))

        assert not self.engine.begin(reservation_of(record))
        assert 0 == stored(record).progress

    def test_body_of_another_reservation_does_not_begin(self):
        record = running()
        former = reservation_of(record)
        JobRecord.objects.filter(pk=record.pk).update(reserved_count=2)

        assert not self.engine.begin(former)
        assert stored(record).progress is None

    def test_body_begins_again_once_its_progress_is_gone(self, django_assert_num_queries):
        record = running(progress=40, progress_message="of the first attempt")
        reservation = reservation_of(record)
        assert not self.engine.begin(reservation)

        with django_assert_num_queries(1):
            self.engine.reset_progress([reservation])

        assert self.engine.begin(reservation)

    def test_standing_says_what_has_begun_is_cancelled_or_has_no_row(
        self, django_assert_num_queries
    ):
        waiting, begun, cancelled = running(), running(), running(cancel_requested_at=NOON)
        ended = make(JobState.FAILED)
        self.engine.begin(reservation_of(begun))
        reservations = [reservation_of(each) for each in (waiting, begun, cancelled, ended)]

        with django_assert_num_queries(1):
            found = self.engine.standing(reservations)

        assert {
            waiting.pk: Standing(has_begun=False, is_cancelled=False),
            begun.pk: Standing(has_begun=True, is_cancelled=False),
            cancelled.pk: Standing(has_begun=False, is_cancelled=True),
        } == found
