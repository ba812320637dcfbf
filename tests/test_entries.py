import pytest

from django_jobflow import Job
from django_jobflow.arguments import DOTS
from django_jobflow.declare import registry
from django_jobflow.entries import BRIEF_MESSAGE, FULL, entry, own_entry
from django_jobflow.outcomes import MESSAGE_LIMIT, TRACEBACK_LIMIT, ErrorInfo
from tests.test_endings import reserved

CARD = "4111 1111 1111 1111"


@pytest.fixture(autouse=True)
def own_jobs():
    with registry.isolated():
        yield


@pytest.fixture
def charge():
    """The job of the records, which hides the second argument."""

    class Charge(Job):
        name = "shop.jobs.Charge"
        sensitive = {"card"}

        def perform(self, order_id, card=""): ...


def kept(message="no", trace="", **facts):
    """Return message and traceback as they are kept."""
    found = entry(ErrorInfo("builtins.ValueError", message, trace), reserved(**facts))
    return found["message"], found["traceback"]


class EntryTests:
    def test_entry_says_which_attempt_failed_where_and_how(self):
        assert {
            "number": 2,
            "worker": "host-1:4711",
            "exception": "builtins.ValueError",
            "message": "no",
            "traceback": "Traceback ...\n",
        } == entry(ErrorInfo("builtins.ValueError", "no", "Traceback ...\n"), reserved())

    @pytest.mark.parametrize(("before", "trace"), [(FULL - 1, "x"), (FULL, "")])
    def test_first_entries_are_kept_in_full(self, before, trace):
        """A record with thousands of attempts is written again with each of them."""
        message = "m" * (BRIEF_MESSAGE + 1)

        found = kept(message, "x", errors=[{}] * before, attempt=1)

        assert (message if trace else message[:-1], trace) == found

    def test_entry_of_our_own_is_what_we_say(self, charge):
        error = ErrorInfo("django_jobflow.exceptions.WorkerLost", "Worker w died.")

        assert "Worker w died." == own_entry(error, 2, "w")["message"]


class HidingTests:
    @pytest.mark.parametrize("call", [{"args": [7, CARD]}, {"kwargs": {"card": CARD}}])
    def test_hidden_argument_is_dots(self, charge, call):
        trace = f"Traceback ...\nCardError: {CARD!r}\n"

        assert (f"{DOTS} of 7 was refused", f"Traceback ...\nCardError: '{DOTS}'\n") == (
            kept(f"{CARD} of 7 was refused", trace, **call)
        )

    def test_argument_that_may_be_seen_is_kept(self, charge):
        assert ("order 1234567", "") == kept("order 1234567", args=[1234567, CARD])

    def test_arguments_of_an_unknown_job_are_dots(self):
        assert (f"order {DOTS}", "") == kept("order 1234567", args=[1234567])

    def test_part_at_the_end_of_a_message_that_was_cut_is_dots(self, charge):
        text = "x" * (MESSAGE_LIMIT - 10) + CARD[:10]

        message, _ = kept(text, kwargs={"card": CARD})

        assert "x" * (MESSAGE_LIMIT - 10) + DOTS == message

    def test_part_at_the_start_of_a_traceback_that_was_cut_is_dots(self, charge):
        text = CARD[-10:] + "x" * (TRACEBACK_LIMIT - 10)

        _, trace = kept(trace=text, kwargs={"card": CARD})

        assert DOTS + "x" * (TRACEBACK_LIMIT - 10) == trace

    def test_dots_make_nothing_longer_than_it_may_be(self, charge):
        message, trace = kept("123," * 2500, "123," * 12_500, kwargs={"card": "123"})

        assert (MESSAGE_LIMIT, TRACEBACK_LIMIT) == (len(message), len(trace))
        assert {DOTS[0], ","} == set(message) == set(trace)
