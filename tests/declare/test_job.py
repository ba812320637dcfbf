import asyncio
import inspect

import pytest

from django_jobflow import InvalidJob, Job, JobContext, current_context
from django_jobflow.declare import registry
from tests.declare.declaring import PLACE, declare, perform


class SendReceipt(Job):
    """As in the first page of the documentation."""

    def perform(self, order_id, *, copy_to=None):
        return {"order": order_id, "copy_to": copy_to, "attempt": self.context.attempt}


class BuildReport(Job):
    async def perform(self, report_id):
        return report_id, self.context.job_id


class DirectCallTests:
    def test_instance_performs_without_a_database(self):
        result = SendReceipt().perform(order_id=1)

        assert {"order": 1, "copy_to": None, "attempt": 1} == result

    def test_run_passes_the_context_and_the_arguments(self):
        result = SendReceipt.run(JobContext(attempt=3), 7, copy_to="a@shop.example")

        assert {"order": 7, "copy_to": "a@shop.example", "attempt": 3} == result

    def test_run_leaves_no_context_behind(self):
        SendReceipt.run(JobContext(attempt=3), 7)

        assert JobContext() == SendReceipt().context
        assert JobContext() == current_context()

    def test_run_of_an_async_body_returns_its_coroutine(self):
        assert (7, 42) == asyncio.run(BuildReport.run(JobContext(job_id=42), 7))

    def test_wrong_arguments_are_pythons_own_error(self):
        with pytest.raises(TypeError, match="missing 1 required positional argument: 'order_id'"):
            SendReceipt.run(JobContext())


class PerformTests:
    def test_signature_is_that_of_perform_without_self(self):
        assert "(order_id, *, copy_to=None)" == str(SendReceipt._signature)

    def test_async_body_is_noticed(self):
        assert [False, True] == [SendReceipt._is_async, BuildReport._is_async]

    @pytest.mark.parametrize("body", [None, "perform", staticmethod(perform), property(perform)])
    def test_something_else_than_a_method_is_refused(self, body):
        with pytest.raises(InvalidJob) as caught:
            declare(perform=body)

        assert (
            f"{PLACE}: expected a method perform(self, ...), got {body!r}. "
            "Write one, or set abstract = True on a base."
        ) == str(caught.value)

    def test_class_without_a_body_is_refused(self):
        with pytest.raises(InvalidJob) as caught:

            class Send(Job):
                queue = "email"

        assert (
            f"{__name__}.PerformTests.test_class_without_a_body_is_refused.<locals>.Send: "
            "expected a method perform(self, ...), got None. "
            "Write one, or set abstract = True on a base."
        ) == str(caught.value)

    def test_generator_is_refused(self):
        def perform(self):
            yield 1

        with pytest.raises(InvalidJob) as caught:
            declare(perform=perform)

        assert f"{PLACE}: expected perform to return, got a generator function." == str(
            caught.value
        )

    def test_async_generator_is_refused(self):
        async def perform(self):
            yield 1

        with pytest.raises(InvalidJob, match="got a generator function"):
            declare(perform=perform)

    def test_body_without_self_is_refused(self):
        def perform(*, order_id): ...

        with pytest.raises(InvalidJob) as caught:
            declare(perform=perform)

        assert f"{PLACE}: expected perform(self, ...), got perform(*, order_id)." == str(
            caught.value
        )

    def test_body_without_any_parameter_is_refused(self):
        def perform(): ...

        with pytest.raises(InvalidJob, match=r"expected perform\(self, ...\), got perform\(\)"):
            declare(perform=perform)

    @pytest.mark.parametrize("transactional", [True, "pipelined", "grouped"])
    def test_async_body_cannot_be_transactional(self, transactional):
        async def perform(self): ...

        with pytest.raises(InvalidJob) as caught:
            declare(perform=perform, transactional=transactional)

        assert (
            f"{PLACE}: expected transactional to be False for an async perform, "
            f"got {transactional!r}. A transaction needs a plain def."
        ) == str(caught.value)

    def test_async_body_cannot_inherit_a_transaction(self):
        base = declare(class_name="Base", abstract=True, transactional=True)

        async def perform(self): ...

        with pytest.raises(InvalidJob, match="expected transactional to be False"):
            declare(base, perform=perform)


class KeyTests:
    @pytest.mark.parametrize("option", ["queue_key", "execution_key"])
    @pytest.mark.parametrize("value", ["receipt", None, 7])
    def test_key_that_is_no_method_is_refused(self, option, value):
        with pytest.raises(InvalidJob) as caught:
            declare(**{option: value})

        assert (
            f"{PLACE}: expected {option} to be a plain callable of the job's arguments, "
            f"got {value!r}."
        ) == str(caught.value)

    def test_async_key_is_refused(self):
        async def queue_key(self, order_id): ...

        with pytest.raises(InvalidJob, match="expected queue_key to be a plain callable"):
            declare(queue_key=queue_key)

    def test_job_without_keys_has_none(self):
        assert [None, None] == [SendReceipt().queue_key(1), SendReceipt().execution_key(1)]

    @pytest.mark.parametrize("kind", [staticmethod, classmethod])
    def test_static_and_class_methods_will_do(self, kind):
        job = declare(queue_key=kind(lambda *arguments: str(arguments[-1])))

        assert "7" == job().queue_key(7)


class NameTests:
    def test_name_is_the_dotted_path_by_default(self):
        assert "shop.jobs.Send" == declare().definition().name

    def test_own_name_is_stored_in_place_of_the_path(self):
        job = declare(name="receipts.send")

        assert job is registry.get("receipts.send")
        assert registry.find("shop.jobs.Send") is None

    def test_path_that_is_too_long_for_a_name_is_refused(self):
        place = f"shop.jobs.{'S' * 191}"

        with pytest.raises(InvalidJob) as caught:
            declare(class_name="S" * 191)

        assert (
            f"{place}: expected name to be 1 to 200 printable characters, got {place!r}."
        ) == str(caught.value)

    def test_long_path_with_a_short_name_is_fine(self):
        assert "send" == declare(class_name="S" * 191, name="send").definition().name


class InheritanceTests:
    def test_abstract_base_is_not_registered_and_needs_no_body(self):
        declare(class_name="Mail", abstract=True, perform=None)

        assert registry.find("shop.jobs.Mail") is None

    def test_abstract_base_has_no_definition(self):
        base = declare(class_name="Mail", abstract=True)

        with pytest.raises(InvalidJob) as caught:
            base.definition()

        assert "Mail is abstract, so it has no definition." == str(caught.value)

    def test_job_itself_has_no_definition(self):
        with pytest.raises(InvalidJob) as caught:
            Job.definition()

        assert "Job is abstract, so it has no definition." == str(caught.value)

    def test_options_are_inherited_and_can_be_overridden(self):
        base = declare(class_name="Mail", abstract=True, queue="email", max_attempts=5)

        definition = declare(base, max_attempts=2).definition()

        assert ("email", 2) == (definition.queue, definition.max_attempts)

    def test_concrete_job_can_be_a_base(self):
        base = declare(class_name="Mail", queue="email")
        child = declare(base)

        assert ["email", "email"] == [base.definition().queue, child.definition().queue]
        assert [base, child] == [registry.get("shop.jobs.Mail"), registry.get("shop.jobs.Send")]

    def test_name_aliases_step_and_abstract_are_not_inherited(self):
        base = declare(class_name="Mail", name="mail", aliases=["post"], step="deliver")

        definition = declare(base).definition()

        assert ("shop.jobs.Send", (), "default") == (
            definition.name,
            definition.aliases,
            definition.step,
        )

    def test_mixin_gives_its_options(self):
        class Patient:
            max_attempts = 5
            name = "no name of a job"

        definition = declare(Patient, Job).definition()

        assert ("shop.jobs.Send", 5) == (definition.name, definition.max_attempts)

    def test_first_base_wins_as_with_any_attribute(self):
        class Patient:
            max_attempts = 5

        base = declare(class_name="Mail", abstract=True, max_attempts=2, timeout=7)

        assert 5 == declare(Patient, base).definition().max_attempts
        assert 2 == declare(base, Patient, class_name="Other").definition().max_attempts

    def test_option_of_a_mixin_is_checked(self):
        class Patient:
            max_attempts = 0

        with pytest.raises(InvalidJob) as caught:
            declare(Patient, Job)

        assert (
            f"{__name__}.{Patient.__qualname__}: expected max_attempts to be "
            "a whole number from 1 to 10000, got 0."
        ) == str(caught.value)

    def test_mixin_gives_its_keys(self):
        class Once:
            def queue_key(self, order_id):
                return f"order:{order_id}"

        assert "order:7" == declare(Once, Job)().queue_key(7)

    def test_body_may_call_its_base(self):
        class Base(Job):
            abstract = True

            def perform(self, number):
                return number + 1

        class Child(Base):
            def perform(self, number):
                return super().perform(number) * 2

        assert 16 == Child.run(JobContext(), 7)
        assert ["number"] == list(inspect.Signature.from_callable(Child().perform).parameters)
