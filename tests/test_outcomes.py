from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_jobflow.outcomes import (
    CHAIN_LIMIT,
    CLASS_LIMIT,
    MESSAGE_LIMIT,
    TRACEBACK_LIMIT,
    ErrorInfo,
    Succeeded,
    storable,
)


class Outer:
    class CardRefusedError(Exception):
        """An error of a user's own."""


class UnprintableError(Exception):
    def __str__(self):
        raise ZeroDivisionError


def raised(error):
    try:
        raise error
    except BaseException as caught:
        return caught


def raised_beside(secret):
    copies = [secret, {"card": secret}]
    try:
        raise ValueError(f"{len(copies)} copies")
    except ValueError as caught:
        return caught


def chain(length):
    """Return an error that so many others have led to."""
    error = None
    for number in range(length):
        following = ValueError(number)
        following.__cause__ = error
        error = following
    return error


def links_of(error):
    while error is not None:
        yield error
        error = error.__cause__


class ErrorInfoTests:
    def test_class_is_named_by_its_dotted_path(self):
        errors = [Outer.CardRefusedError(), ValueError()]

        assert [f"{__name__}.Outer.CardRefusedError", "builtins.ValueError"] == [
            ErrorInfo.of(error).exception for error in errors
        ]

    def test_message_is_the_text_of_the_error(self):
        assert "card 42 was refused" == ErrorInfo.of(ValueError("card 42 was refused")).message

    def test_traceback_leads_to_the_line(self):
        info = ErrorInfo.of(raised(ValueError("no")))

        lines = info.traceback.splitlines()
        assert ("Traceback (most recent call last):", "ValueError: no") == (lines[0], lines[-1])
        assert any("raise error" in line for line in lines)

    def test_cause_is_part_of_the_traceback(self):
        error = ValueError("no")
        error.__cause__ = raised(KeyError("card"))

        assert "KeyError: 'card'" in ErrorInfo.of(error).traceback

    def test_error_that_was_never_raised_has_its_last_line(self):
        assert "ValueError: no\n" == ErrorInfo.of(ValueError("no")).traceback

    def test_long_message_keeps_its_beginning(self):
        message = ErrorInfo.of(ValueError("a" + "b" * MESSAGE_LIMIT)).message

        assert "a" + "b" * (MESSAGE_LIMIT - 1) == message

    def test_long_traceback_keeps_its_end(self):
        text = "x" * TRACEBACK_LIMIT + " the end"

        trace = ErrorInfo.of(raised(ValueError(text))).traceback

        assert (TRACEBACK_LIMIT, True) == (len(trace), trace.endswith("the end\n"))

    def test_long_chain_keeps_its_last_errors(self):
        error = chain(10_000)

        trace = ErrorInfo.of(error).traceback

        kept = [f"ValueError: {number}" for number in range(10_000 - CHAIN_LIMIT, 10_000)]
        assert kept == [line for line in trace.splitlines() if line.startswith("ValueError")]

    @pytest.mark.parametrize("suppressed", [False, True])
    def test_chain_is_left_as_it_was(self, suppressed):
        error = chain(CHAIN_LIMIT + 1)
        links = list(links_of(error))
        cut = links[CHAIN_LIMIT - 1]
        cut.__context__, cut.__cause__ = cut.__cause__, None
        cut.__suppress_context__ = suppressed

        ErrorInfo.of(error)

        assert (links[CHAIN_LIMIT], None, suppressed) == (
            cut.__context__,
            cut.__cause__,
            cut.__suppress_context__,
        )

    def test_chain_that_is_a_circle_has_an_end(self):
        error, other = ValueError("one"), KeyError("other")
        error.__cause__, other.__cause__ = other, error

        trace = ErrorInfo.of(error).traceback

        assert (1, 1) == (trace.count("ValueError: one"), trace.count("KeyError: 'other'"))
        assert error is other.__cause__

    def test_cause_that_is_not_to_be_shown_is_not(self):
        error = ValueError("no")
        error.__context__, error.__suppress_context__ = KeyError("card"), True

        assert "card" not in ErrorInfo.of(error).traceback

    def test_long_name_of_a_class_keeps_its_beginning(self):
        kind = type("E" * 1000, (Exception,), {"__module__": "shop"})

        assert f"shop.{'E' * (CLASS_LIMIT - 5)}" == ErrorInfo.of(kind()).exception

    def test_name_of_a_class_that_no_database_can_hold_is_replaced(self):
        kind = type("Odd", (Exception,), {"__module__": "shop", "__qualname__": "a\x00\ud800"})

        assert "shop.a\ufffd?" == ErrorInfo.of(kind()).exception

    def test_local_variables_are_not_kept(self):
        assert "4111" not in repr(ErrorInfo.of(raised_beside("4111" * 4)))

    def test_group_of_many_errors_is_cut(self):
        group = ExceptionGroup("all", [ValueError("x" * 1000) for _ in range(1000)])

        assert len(ErrorInfo.of(group).traceback) <= TRACEBACK_LIMIT

    def test_error_without_a_printable_message_is_described_too(self):
        info = ErrorInfo.of(raised(UnprintableError()))

        assert "<UnprintableError without a printable message>" == info.message
        assert f"{__name__}.UnprintableError" == info.exception

    def test_what_no_database_can_hold_is_replaced(self):
        info = ErrorInfo.of(ValueError("a\x00b\ud800c"))

        assert "a\ufffdb?c" == info.message
        assert "\x00" not in info.traceback

    def test_traceback_that_cannot_be_made_is_left_out(self, monkeypatch):
        monkeypatch.setattr("traceback.format_exception", None)

        assert ErrorInfo("builtins.ValueError", "no", "") == ErrorInfo.of(ValueError("no"))


class StorableTests:
    @given(text=st.text(st.characters(codec="utf-8", exclude_characters="\x00")))
    def test_text_that_can_be_stored_is_left_alone(self, text):
        assert text == storable(text)

    @given(text=st.text(st.characters()))
    def test_any_text_can_be_stored_afterwards(self, text):
        stored = storable(text)

        assert "\x00" not in stored
        assert stored == stored.encode().decode()


class OutcomeTests:
    def test_is_a_frozen_value(self):
        outcome = Succeeded({"sent": True})

        assert Succeeded({"sent": True}) == outcome
        with pytest.raises(FrozenInstanceError):
            outcome.result = None
