import pytest

from django_jobflow import InvalidJob, Job, JobContext
from tests.declare.declaring import PLACE, declare

WRONG = [
    ("before_run", lambda: None, "before_run(self), got before_run()"),
    ("after_run", lambda self: None, "after_run(self, outcome), got after_run(self)"),
    ("on_success", lambda self: None, "on_success(self, result), got on_success(self)"),
    (
        "on_failure",
        lambda self, error: None,
        "on_failure(self, error, will_retry), got on_failure(self, error)",
    ),
    ("on_cancel", lambda self: None, "on_cancel(self, reason), got on_cancel(self)"),
    (
        "on_discard",
        lambda self, *, reason: 0,
        "on_discard(self, reason), got on_discard(self, *, reason)",
    ),
]


class DeclaringTests:
    def test_job_without_hooks_has_none(self):
        assert frozenset() == declare()._hooks

    def test_own_and_inherited_hooks_are_found(self):
        class Tells:
            def on_failure(self, error, will_retry): ...

        class Base(Job):
            abstract = True

            def before_run(self): ...

        async def on_cancel(self, reason): ...

        job = declare(Tells, Base, on_cancel=on_cancel)

        assert {"on_failure", "before_run", "on_cancel"} == job._hooks

    @pytest.mark.parametrize(("hook", "method", "said"), WRONG, ids=[hook for hook, *_ in WRONG])
    def test_hook_of_another_signature_is_refused(self, hook, method, said):
        with pytest.raises(InvalidJob) as caught:
            declare(**{hook: method})

        assert f"{PLACE}: expected {said}." == str(caught.value)

    def test_hook_that_is_no_method_is_refused(self):
        with pytest.raises(InvalidJob) as caught:
            declare(on_cancel="tell")

        assert f"{PLACE}: expected a method on_cancel(self, reason), got 'tell'." == str(
            caught.value
        )


class ArgumentsTests:
    def test_they_have_the_names_of_the_parameters(self):
        def perform(self, order_id, *, copy_to=None, **more):
            return self.arguments

        arguments = declare(perform=perform).run(JobContext(), 7, a=1)

        assert {"order_id": 7, "copy_to": None, "more": {"a": 1}} == arguments
