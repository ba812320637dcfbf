"""Errors about an argument that is not to be seen lead to it, and do not show it."""

import inspect

import pytest

from django_jobflow.arguments import (
    DOTS,
    HIDDEN,
    Shape,
    bind,
    decode,
    encode,
    encode_result,
    encode_text,
)
from django_jobflow.exceptions import ArgumentError, InvalidResult
from tests.arguments import samples

NAME = "shop.jobs.Charge"
SECRET = "4111111111111111"
PATHS = [
    ([SECRET, "\0"], {}, 1, "args[1]"),
    ([], {"card": f"{SECRET}\0"}, "card", "kwargs['card']"),
    ([], {"card": {SECRET: [float("nan")]}}, "card", "kwargs['card']"),
    ([], {"card": [{SECRET}, object()]}, "card", "kwargs['card']"),
]


def refused(call, *args, **options):
    with pytest.raises(ArgumentError) as caught:
        call(*args, **options)
    return caught.value


class EncodeTests:
    @pytest.mark.parametrize("encoder", [encode, encode_text])
    @pytest.mark.parametrize(("args", "kwargs", "hidden", "path"), PATHS)
    def test_value_is_dots_and_its_argument_is_named(self, encoder, args, kwargs, hidden, path):
        error = refused(
            encoder, NAME, args, kwargs, max_size=1000, hides=lambda key: key == hidden
        )

        expected = f"{NAME}: expected arguments that can be stored as JSON, got {DOTS} at {path}."
        assert expected == str(error)
        assert (None, True) == (error.__cause__, error.__suppress_context__)

    def test_advice_is_given_all_the_same(self):
        error = refused(encode, NAME, [range(3)], {}, max_size=9, hides=lambda key: True)

        assert str(error).endswith(f"got {DOTS} at args[0]. Turn it into a list.")

    def test_argument_that_may_be_seen_is_shown(self):
        error = refused(
            encode, NAME, [SECRET], {"at": [1, "x\0"]}, max_size=99, hides=lambda key: key == 0
        )

        assert str(error).endswith("got a NUL character in 'x\\x00' at kwargs['at'][1].")


class DecodeTests:
    @pytest.mark.parametrize(
        "stored",
        [
            {"$jobflow": "date", "value": SECRET},
            {"$jobflow": "enum", "value": [samples.__name__, "Colour", SECRET]},
            {"$jobflow": "model", "value": [SECRET, 1, "default"]},
            [{SECRET: {"$jobflow": SECRET}}],
        ],
    )
    def test_value_is_dots_and_its_argument_is_named(self, stored):
        error = refused(decode, [], {"card": stored}, name=NAME, hides=lambda key: key == "card")

        assert (
            f"{NAME}: expected stored arguments that can be read back, got {DOTS} at "
            f"kwargs['card']."
        ) == str(error)
        assert (None, True) == (error.__cause__, error.__suppress_context__)


class BindTests:
    def test_default_is_dots(self):
        def perform(order_id, *, card=SECRET, copies=1): ...

        shape = Shape.of(inspect.signature(perform))

        error = refused(bind, NAME, shape, [], {}, hides=lambda key: key == "card")

        assert (
            f"{NAME}: missing a required argument: 'order_id'. "
            f"Expected (order_id, *, card={DOTS}, copies=1)."
        ) == str(error)


class ResultTests:
    @pytest.mark.parametrize("result", [{SECRET}, {SECRET: {1}}, [float("inf")]])
    def test_result_is_dots(self, result):
        with pytest.raises(InvalidResult) as caught:
            encode_result(NAME, result, max_size=99, hidden=True)

        message = str(caught.value)
        assert f"{NAME}: expected perform to return JSON, got {DOTS} at result." == message


def test_hidden_value_is_shown_as_dots():
    assert "{'card': ••••••}" == repr({"card": HIDDEN})
