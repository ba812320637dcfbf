"""What ``from django_jobflow import ...`` offers; that it is there, the packaging tests say."""

import inspect
import re

import pytest

import django_jobflow
from django_jobflow import Definition, Job, JobContext, job
from django_jobflow.declare import DeclaredFunction
from django_jobflow.declare.hooked import HOOKS

PUBLIC = [name for name in django_jobflow.__all__ if name != "__version__"]
CALLS = ["definition", "run", "enqueue", "aenqueue", "enqueue_many", "prepared", "using"]


def methods(of):
    return [
        value
        for name, value in inspect.getmembers(of, callable)
        if not name.startswith("_") and inspect.isroutine(value)
    ]


class DocstringTests:
    @pytest.mark.parametrize("name", PUBLIC)
    def test_public_name_says_what_it_is(self, name):
        value = getattr(django_jobflow, name)

        assert re.match(r".+?\.(\s|$)", value.__doc__, re.DOTALL)

    @pytest.mark.parametrize("name", PUBLIC)
    def test_dataclass_does_not_show_its_signature_in_place_of_a_text(self, name):
        assert not getattr(django_jobflow, name).__doc__.startswith(f"{name}(")

    @pytest.mark.parametrize("kind", [Job, JobContext])
    def test_public_method_says_what_it_does(self, kind):
        assert [] == [method for method in methods(kind) if not inspect.getdoc(method)]


class FieldTests:
    @pytest.mark.parametrize("kind", [Definition, JobContext])
    def test_every_field_is_described(self, kind):
        described = set(re.findall(r"^ {4,8}(\w+): ", kind.__doc__, re.MULTILINE))

        assert described == set(kind.__dataclass_fields__) - {"reporter", "reservation"}


class FunctionTests:
    @pytest.mark.parametrize("name", CALLS)
    def test_function_offers_what_its_class_does(self, name):
        from django_jobflow.declare import registry

        with registry.isolated():

            @job
            def send(order_id): ...

        assert getattr(send.job, name) == getattr(send, name)

    def test_nothing_else_is_offered(self):
        assert {*CALLS} == {method.__name__ for method in methods(Job)} - {
            "queue_key",
            "execution_key",
            *HOOKS,
        }
        assert [] == methods(DeclaredFunction)


class VersionTests:
    def test_has_three_numbers(self):
        assert re.fullmatch(r"\d+\.\d+\.\d+", django_jobflow.__version__)
