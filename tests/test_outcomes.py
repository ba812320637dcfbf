from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_jobflow.outcomes import (
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
