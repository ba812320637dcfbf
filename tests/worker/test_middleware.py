"""The chain of middleware around executions and enqueues."""

import pytest
from django.utils import translation

from django_jobflow import Job, JobflowError, JobState
from django_jobflow.declare import registry
from django_jobflow.models import JobRecord, SucceededJob
from tests.app import middleware

PLACE = "tests.app.middleware"


@pytest.fixture
def use(settings):
    def name(*names):
        settings.JOBFLOW = {"MIDDLEWARE": [f"{PLACE}.{name}" for name in names]}

    with registry.isolated():
        yield name
    middleware.SEEN.clear()


@pytest.fixture(params=["plain", "async", "transactional"])
def speak(request, use):
    """A job that says in which language it runs."""
    if request.param == "async":

        class Speak(Job):
            async def before_run(self):
                self.before = translation.get_language()

            async def perform(self):
                return [self.before, translation.get_language()]

        return Speak

    class Speak(Job):
        locals().update(transactional=request.param == "transactional")

        def before_run(self):
            self.before = translation.get_language()

        def perform(self):
            return [self.before, translation.get_language()]

    return Speak


def results():
    return [job.result for job in SucceededJob.objects.order_by("pk")]


class ExecutionTests:
    def test_language_goes_with_the_job(self, drain, use, speak):
        use("Locale")
        with translation.override("de"):
            speak.enqueue()
        with translation.override("fr"):
            speak.enqueue_many([{}])

        drain(threads=1)

        assert [["de", "de"], ["fr", "fr"]] == results()

    def test_own_meta_is_kept(self, drain, use, speak):
        use("Locale")

        record = speak.using(meta={"language": "it", "who": "me"}).enqueue()
        drain()

        assert {"language": "it", "who": "me"} == record.meta
        assert [["it", "it"]] == results()

    def test_first_is_outermost_and_each_is_built_once(self, drain, use, speak):
        use("outer", "inner")
        first, second = speak.enqueue(), speak.enqueue()

        drain(threads=1)

        seen = [word for word in middleware.SEEN if not word.endswith("built")]
        result = results()[0]
        assert [
            word
            for pk in (first.pk, second.pk)
            for word in (
                f"outer before {pk}",
                f"inner before {pk}",
                f"inner after {result}",
                f"outer after {result}",
            )
        ] == seen
        # Once for its word at enqueues, and once around the bodies of this kind.
        assert 2 == middleware.SEEN.count("outer is built")

    def test_result_may_be_another(self, drain, use):
        use("doubles")

        class Double(Job):
            def perform(self):
                return 21

        Double.enqueue()
        drain()

        assert [42] == results()

    def test_it_may_choose_the_end(self, drain, use):
        class Never(Job):
            def perform(self):
                raise AssertionError("It is not to be called.")

        use("cancels")
        record = Never.enqueue()
        drain()

        record.refresh_from_db()
        assert (JobState.CANCELLED, "by the middleware") == (
            record.state,
            record.errors[0]["message"],
        )

    def test_one_that_is_not_used_is_left_out(self, drain, use):
        use("unused", "doubles")

        class Double(Job):
            def perform(self):
                return 21

        Double.enqueue()
        drain()

        assert [42] == results()

    def test_one_that_does_not_fit_fails_the_attempt(self, drain, use):
        use("plain_only")

        class Await(Job):
            async def perform(self):
                return 1

        record = Await.enqueue()
        drain()

        record.refresh_from_db()
        assert JobState.FAILED == record.state
        assert (
            f"JOBFLOW['MIDDLEWARE']: '{PLACE}.plain_only' is not made for a body that is async."
        ) == record.errors[0]["message"]


class EnqueueTests:
    @pytest.mark.django_db
    @pytest.mark.parametrize("many", [False, True])
    def test_what_cannot_be_stored_is_refused(self, use, speak, many):
        use("AddsAnObject")

        with pytest.raises(JobflowError, match=r"meta|kwargs"):
            speak.enqueue_many([{}]) if many else speak.enqueue()

        assert not JobRecord.objects.exists()
