"""Keys that several may hold at a time: what ``concurrency`` says of a job."""

import pytest

from django_jobflow import Job
from django_jobflow.attempts import key_digest
from django_jobflow.models import JobRecord
from django_jobflow.outcomes import Succeeded
from django_jobflow.states import KEYED, JobState
from tests.engines.contract import LATER, MINUTE, NOON, SECOND, Contract, ending, live, make

PLACES = 3
NAME = "shop.Upload"


class PlaceContract(Contract):
    @pytest.fixture(autouse=True)
    def job(self, own_jobs):
        class Upload(Job):
            name = NAME
            concurrency = PLACES

            def perform(self, number=0):
                pass

            def execution_key(self, number=0):
                return "e"

        self.job = Upload

    def waiting(self, **facts):
        return make(JobState.WAITING, **{"name": NAME, "execution_key": "e"} | facts)

    def holder(self, place, **facts):
        digest = key_digest("", "e", place)
        return make(
            JobState.IN_PROGRESS,
            **{"name": NAME, "execution_key": "e", "held_execution_key": digest} | facts,
        )

    def in_line(self):
        return [pk for pk, state in live().items() if state == JobState.WAITING]

    def digests(self):
        held = JobRecord.objects.filter(state__in=sorted(KEYED))
        return set(held.values_list("held_execution_key", flat=True))


class PlaceTests(PlaceContract):
    def test_places_have_digests_of_their_own_and_the_first_is_that_of_a_single_one(self):
        digests = [key_digest("", "e", place) for place in range(PLACES)]

        assert PLACES == len(set(digests))
        assert key_digest("", "e") == digests[0]

    def test_as_many_as_there_are_places_have_a_turn(self, django_capture_on_commit_callbacks):
        with django_capture_on_commit_callbacks(execute=True):
            ids = self.job.enqueue_many({"number": number} for number in range(PLACES + 2))

        assert ids[PLACES:] == self.in_line()
        assert {key_digest("", "e", place) for place in range(PLACES)} == self.digests()

    def test_calls_come_one_by_one_and_take_the_places(self, django_capture_on_commit_callbacks):
        ids = []
        for number in range(PLACES + 1):
            with django_capture_on_commit_callbacks(execute=True):
                ids.append(self.job.enqueue(number).pk)

        assert ids[PLACES:] == self.in_line()

    def test_first_in_line_have_the_places(self):
        low = self.waiting(priority=-1)
        late = self.waiting(available_at=NOON)
        for _ in range(PLACES):
            self.waiting(available_at=NOON - SECOND)

        self.engine.promote([("", "e")] * 5)

        assert [low.pk, late.pk] == self.in_line()

    def test_one_place_is_free_and_one_has_a_turn(self):
        for place in (0, 2):
            self.holder(place)
        _, *others = [self.waiting() for _ in range(3)]

        self.engine.promote([("", "e")] * 3)

        assert [each.pk for each in others] == self.in_line()
        assert {key_digest("", "e", place) for place in range(PLACES)} == self.digests()

    def test_all_places_are_held_and_nobody_has_a_turn(self):
        for place in range(PLACES):
            self.holder(place)
        waiting = self.waiting()

        self.engine.promote([("", "e")])
        self.engine.promote_waiting()

        assert [waiting.pk] == self.in_line()

    @pytest.mark.parametrize("count", [1, 2, 3])
    def test_some_end_and_as_many_have_a_turn(self, count):
        holders = [self.holder(place) for place in range(PLACES)]
        waiting = [self.waiting() for _ in range(5)]

        self.engine.settle([ending(each, Succeeded()) for each in holders[:count]], LATER)

        assert [each.pk for each in waiting[count:]] == self.in_line()

    def test_sweep_fills_all_places(self):
        waiting = [self.waiting() for _ in range(5)]

        self.engine.promote_waiting()

        assert [each.pk for each in waiting[PLACES:]] == self.in_line()

    def test_places_were_more_before_and_nobody_has_a_turn_until_one_that_is_left_is_free(self):
        first, beyond = self.holder(0, name="shop.Single"), self.holder(7, name="shop.Single")
        waiting = self.waiting(name="shop.Single")

        self.engine.settle([ending(beyond, Succeeded())], LATER)
        assert [waiting.pk] == self.in_line()
        self.engine.settle([ending(first, Succeeded())], LATER)

        assert [] == self.in_line()

    def test_key_is_shared_and_the_job_that_is_first_in_line_says_how_many(self):
        self.holder(0)
        single = self.waiting(name="shop.Single")
        self.waiting()

        self.engine.promote([("", "e")] * 2)

        assert 2 == len(self.in_line())
        assert single.pk in self.in_line()

    def test_key_is_worked_off_in_order_and_never_by_more(self):
        ids = [self.waiting().pk for _ in range(10)]
        self.engine.promote_waiting()

        done = []
        while reserved := self.engine.reserve(
            limit=10, worker="w", queues=None, timeout=MINUTE, now=LATER
        ):
            assert len(reserved) <= PLACES
            for reservation in reserved:
                record = JobRecord.objects.get(pk=reservation.id)
                record.start(LATER)
                record.succeed(None, LATER)
                done.append(record.pk)

        assert ids == done


class LimitedJobTests(PlaceContract):
    """A job without keys of its own: the limit is for the job as a whole."""

    @pytest.fixture(autouse=True)
    def limited(self, job):
        class Render(Job):
            name = "shop.Render"
            concurrency = 2

            def perform(self, number=0):
                pass

        class Sometimes(Render):
            name = "shop.Sometimes"

            def execution_key(self, number=0):
                return None

        self.render, self.sometimes = Render, Sometimes

    def test_so_many_have_a_turn_whatever_they_are_called_with(
        self, django_capture_on_commit_callbacks
    ):
        with django_capture_on_commit_callbacks(execute=True):
            ids = self.render.enqueue_many({"number": number} for number in range(5))

        assert ids[2:] == self.in_line()

    def test_jobs_do_not_wait_for_each_other(self, django_capture_on_commit_callbacks):
        class Other(self.render):
            name = "shop.Other"

        with django_capture_on_commit_callbacks(execute=True):
            for job in (self.render, Other) * 2:
                job.enqueue()

        assert [] == self.in_line()

    def test_record_has_the_name_of_its_job_as_its_key(self):
        record = self.render.enqueue()

        assert ("shop.Render", JobState.WAITING) == (record.execution_key, record.state)

    def test_key_of_the_call_is_kept(self):
        assert "mine" == self.render.using(execution_key="mine").enqueue().execution_key

    def test_method_says_that_there_is_no_key_and_there_is_none(self):
        record = self.sometimes.enqueue()

        assert (None, JobState.AVAILABLE) == (record.execution_key, record.state)

    def test_new_arguments_leave_the_key_as_it_is(self):
        record = self.render.enqueue(1)

        record.update(kwargs={"number": 2})

        assert "shop.Render" == record.execution_key


class HandingOnTests(PlaceContract):
    """The place of who ends is handed on, where the job of who ends has a single one."""

    def single(self, state, **facts):
        return make(state, **{"name": "shop.Single", "execution_key": "e"} | facts)

    def test_next_has_more_places_and_gets_the_one_that_is_free(self):
        holder, waiting = self.single(JobState.IN_PROGRESS), self.waiting()

        self.engine.settle([ending(holder, Succeeded())], LATER)

        assert [] == self.in_line()
        assert {key_digest("", "e")} == self.digests()
        assert JobState.AVAILABLE == live()[waiting.pk]

    def test_ends_of_jobs_with_one_place_and_with_several_come_together(self):
        holders = [
            self.single(JobState.IN_PROGRESS, execution_key="f"),
            self.holder(0),
            self.holder(1),
        ]
        waiting = [self.single(JobState.WAITING, execution_key="f") for _ in range(2)]
        waiting += [self.waiting() for _ in range(4)]

        self.engine.settle([ending(each, Succeeded()) for each in holders], LATER)

        assert [waiting[1].pk, *(each.pk for each in waiting[4:])] == self.in_line()

    def test_lost_attempt_hands_nothing_on(self):
        holder, waiting = self.single(JobState.IN_PROGRESS), self.single(JobState.WAITING)
        JobRecord.objects.filter(pk=holder.pk).update(reserved_count=9)

        assert set() == self.engine.settle([ending(holder, Succeeded())], LATER)
        assert [waiting.pk] == self.in_line()
