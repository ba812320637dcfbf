import inspect
from collections import UserDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_jobflow.arguments import Shape, bind
from django_jobflow.exceptions import ArgumentError


def send(order_id, *, copy_to=None): ...


def everything(first, second, third=3, *rest, fourth, fifth=5, **others): ...


def closed(first, /, second, third=3, *, fourth, fifth=5): ...


def annotated(order_id: int, copy_to: str | None = None) -> dict: ...


def wordy(text="x" * 500): ...


SHAPES = {f: Shape.of(inspect.signature(f)) for f in (send, everything, closed)}
NAMES = ["first", "second", "third", "fourth", "fifth", "others", "order_id", "self"]


class BindTests:
    @given(
        function=st.sampled_from(list(SHAPES)),
        args=st.lists(st.integers(), max_size=4),
        kwargs=st.dictionaries(st.sampled_from(NAMES), st.integers()),
    )
    def test_call_is_bound_exactly_when_python_would_call(self, function, args, kwargs):
        try:
            function(*args, **kwargs)
        except TypeError:
            with pytest.raises(ArgumentError):
                bind("n", SHAPES[function], args, kwargs)
        else:
            assert (args, kwargs) == bind("n", SHAPES[function], args, kwargs)

    def test_defaults_are_not_filled_in(self):
        assert ([7], {}) == bind("n", SHAPES[send], (7,), {})

    def test_result_shares_nothing_with_the_call(self):
        kwargs = {"order_id": 7}

        _, bound = bind("n", SHAPES[send], (), kwargs)

        assert bound is not kwargs

    def test_mapping_may_list_its_keys(self):
        class Attributes(UserDict):
            def keys(self):
                return [*self.data]

        assert ([], {"order_id": 7}) == bind("n", SHAPES[send], (), Attributes(order_id=7))

    def test_right_call_does_without_signature_bind(self, monkeypatch):
        monkeypatch.setattr(inspect.Signature, "bind", None)

        assert ([], {"order_id": 7}) == bind("n", SHAPES[send], (), {"order_id": 7})
        assert ([7], {"copy_to": 1}) == bind("n", SHAPES[send], (7,), {"copy_to": 1})

    @pytest.mark.parametrize(
        ("args", "kwargs", "expected"),
        [
            ((), {}, "missing a required argument: 'order_id'"),
            ((1, 2), {}, "too many positional arguments"),
            ((1,), {"order_id": 1}, "multiple values for argument 'order_id'"),
            ((1,), {"copy": 1}, "got an unexpected keyword argument 'copy'"),
        ],
    )
    def test_wrong_call_is_told_with_the_job_and_its_signature(self, args, kwargs, expected):
        with pytest.raises(ArgumentError) as caught:
            bind("shop.jobs.SendReceipt", SHAPES[send], args, kwargs)

        assert f"shop.jobs.SendReceipt: {expected}. Expected (order_id, *, copy_to=None)." == str(
            caught.value
        )
        assert isinstance(caught.value, TypeError)

    def test_annotations_are_left_out_of_the_error(self):
        with pytest.raises(ArgumentError) as caught:
            bind("n", Shape.of(inspect.signature(annotated)), (), {"x": 1, "order_id": 2})

        assert (
            "n: got an unexpected keyword argument 'x'. Expected (order_id, copy_to=None)."
            == str(caught.value)
        )

    def test_long_signature_is_cut_in_the_error(self):
        with pytest.raises(ArgumentError) as caught:
            bind("n", Shape.of(inspect.signature(wordy)), (1, 2), {})

        expected = f"n: too many positional arguments. Expected (text='{'x' * 149}...)."
        assert expected == str(caught.value)
