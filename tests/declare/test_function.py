import asyncio
import inspect
from datetime import timedelta

import pytest

from django_jobflow import InvalidJob, JobContext, current_context, job
from django_jobflow.declare import registry


@job
def build_report(report_id, *, format="pdf"):
    """Build one report."""
    return report_id, format


@job(queue="reports", max_attempts=3, timeout=60, queue_key=lambda report_id: f"r:{report_id}")
def build_slowly(report_id):
    return report_id


@job(name="fetch", aliases=["get"], execution_key=lambda url: None)
async def fetch_page(url):
    return url


class DeclaredFunctionTests:
    def test_is_still_a_function(self):
        assert (7, "csv") == build_report(7, format="csv")

    def test_keeps_what_the_function_says_of_itself(self):
        assert ("build_report", "build_report", __name__, "Build one report.") == (
            build_report.__name__,
            build_report.__qualname__,
            build_report.__module__,
            build_report.__doc__,
        )
        assert "(report_id, *, format='pdf')" == str(inspect.signature(build_report))
        assert f"<job {__name__}.build_report>" == repr(build_report)

    def test_name_is_the_dotted_path(self):
        assert f"{__name__}.build_report" == build_report.definition().name
        assert build_report.job is registry.get(f"{__name__}.build_report")

    def test_job_takes_the_arguments_of_the_function(self):
        assert "(report_id, *, format='pdf')" == str(build_report.job._signature)

    def test_options_are_those_of_a_class(self):
        definition = build_slowly.definition()

        assert ("reports", 3, timedelta(minutes=1)) == (
            definition.queue,
            definition.max_attempts,
            definition.timeout,
        )

    def test_keys_are_callables_of_the_arguments(self):
        assert "r:7" == build_slowly.job().queue_key(7)
        assert build_slowly.job().execution_key(7) is None
        assert fetch_page.job().execution_key("/") is None

    def test_names_and_aliases_are_registered(self):
        assert [fetch_page.job] * 2 == [registry.get("fetch"), registry.get("get")]

    def test_run_calls_the_function(self):
        assert (7, "pdf") == build_report.run(JobContext(), 7)

    def test_async_function_stays_async(self):
        assert fetch_page.job._is_async
        assert "/" == asyncio.run(fetch_page("/"))
        assert "/" == asyncio.run(fetch_page.run(JobContext(), "/"))

    def test_context_outside_of_a_worker_is_a_detached_one(self):
        @job
        def tell():
            current_context().progress(50, "half")
            return current_context()

        assert JobContext() == tell()

    @pytest.mark.parametrize("value", ["email", 7, len, dict, object()])
    def test_something_else_than_a_function_is_refused(self, value):
        with pytest.raises(InvalidJob) as caught:
            job(value)

        assert f"@job: expected a function, got {value!r}." == str(caught.value)

    def test_generator_is_refused(self):
        def rows():
            yield 1

        with pytest.raises(InvalidJob) as caught:
            job(rows)

        place = f"{__name__}.{rows.__qualname__}"
        assert f"{place}: expected rows to return, got a generator function." == str(caught.value)

    def test_key_that_is_no_callable_is_refused(self):
        def send(order_id): ...

        with pytest.raises(InvalidJob) as caught:
            job(queue_key="receipt")(send)

        assert (
            f"{__name__}.{send.__qualname__}: expected queue_key to be a plain callable of the "
            "job's arguments, got 'receipt'."
        ) == str(caught.value)

    def test_builtin_can_compute_a_key(self):
        @job(execution_key=str)
        def send(order_id): ...

        assert "7" == send.job().execution_key(7)

    @pytest.mark.parametrize("transactional", [True, "pipelined", "grouped"])
    def test_async_function_cannot_be_transactional(self, transactional):
        async def send(order_id): ...

        with pytest.raises(InvalidJob) as caught:
            job(transactional=transactional)(send)

        assert (
            f"{__name__}.{send.__qualname__}: expected transactional to be False for an async "
            f"perform, got {transactional!r}. A transaction needs a plain def."
        ) == str(caught.value)
