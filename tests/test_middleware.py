import pytest
from django.core.exceptions import ImproperlyConfigured

from django_jobflow import checks, job, middleware
from django_jobflow.declare import registry

PLACE = "tests.app.middleware"
SUBJECT = "JOBFLOW['MIDDLEWARE']"

WRONG = {
    "tests.app.nowhere.it": (
        f"{SUBJECT}: 'tests.app.nowhere.it' cannot be imported: "
        "No module named 'tests.app.nowhere'"
    ),
    f"{PLACE}.nothing": (
        f"{SUBJECT}: expected '{PLACE}.nothing' to be a callable that takes call_next, got None."
    ),
    f"{PLACE}.raises": f"{SUBJECT}: '{PLACE}.raises' raised ValueError('not today').",
    f"{PLACE}.returns_nothing": (
        f"{SUBJECT}: expected '{PLACE}.returns_nothing' to return a callable, got None."
    ),
}


def body(job):
    return 1


class ChainTests:
    def test_without_any_the_body_is_called_as_it_is(self):
        assert middleware.current().around(body) is body

    def test_chain_is_built_once_for_the_settings_in_force(self, settings):
        settings.JOBFLOW = {"MIDDLEWARE": [f"{PLACE}.doubles"]}
        chain = middleware.current()

        assert chain is middleware.current()
        assert chain.around(body) is chain.around(body)
        assert 2 == chain.around(body)(None)

        settings.JOBFLOW = {}
        assert middleware.current() is not chain

    @pytest.mark.parametrize("path", WRONG)
    def test_what_cannot_be_built_says_why(self, settings, path):
        settings.JOBFLOW = {"MIDDLEWARE": [path]}

        with pytest.raises(ImproperlyConfigured) as caught:
            middleware.current()

        assert WRONG[path] == str(caught.value)


class CheckTests:
    @pytest.fixture(autouse=True)
    def own_jobs(self):
        with registry.isolated():
            for name in registry.names():
                registry._jobs.pop(name, None)
            yield

    @pytest.mark.parametrize("path", WRONG)
    def test_what_cannot_be_built_is_e007(self, settings, path):
        settings.JOBFLOW = {"MIDDLEWARE": [path]}

        [found] = checks.check_middleware()

        assert ("jobflow.E007", WRONG[path]) == (found.id, found.msg)

    def test_one_that_does_not_fit_a_job_is_e008(self, settings):
        settings.JOBFLOW = {"MIDDLEWARE": [f"{PLACE}.plain_only", f"{PLACE}.outer"]}

        @job(name="waits")
        async def fetch(): ...

        @job(name="plain")
        def plain(): ...

        [found] = checks.check_middleware()

        assert (
            "jobflow.E008",
            f"waits: {SUBJECT} has '{PLACE}.plain_only', which is not made for a body that is "
            "async.",
        ) == (found.id, found.msg)

    def test_wrong_setting_is_told_once(self, settings):
        settings.JOBFLOW = {"MIDDLEWARE": "shop.middleware.locale"}

        assert [] == checks.check_middleware()
        [found] = checks.check_settings()
        assert (
            f"{SUBJECT}: expected a list of dotted paths, got 'shop.middleware.locale'."
        ) == found.msg
