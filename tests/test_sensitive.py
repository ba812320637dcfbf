"""What ``sensitive`` hides is in no error of an enqueue, and in no repr."""

import pytest

from django_jobflow import ArgumentError, InvalidJob, Job
from django_jobflow.arguments import DOTS
from django_jobflow.calls import Call
from django_jobflow.declare import registry
from django_jobflow.settle import record_of
from django_jobflow.states import JobState
from tests.test_endings import reserved

CARD = "4111-1111-1111-1111"
NAME = "shop.jobs.Charge"


@pytest.fixture(autouse=True)
def own_jobs():
    with registry.isolated():
        yield


@pytest.fixture
def charge():
    class Charge(Job):
        name = NAME
        sensitive = {"card"}

        def perform(self, order_id, card=CARD, *, at=None): ...

        def queue_key(self, order_id, card=CARD, *, at=None):
            return {"wrong": [card]} if at == "wrong" else f"{card}{'x' * (at or 0)}"

    return Charge


def refused(kind, call, *args, **kwargs):
    with pytest.raises(kind) as caught:
        call(*args, **kwargs)
    assert CARD not in str(caught.value)
    return str(caught.value)


@pytest.mark.django_db
class EnqueueTests:
    def test_value_that_cannot_be_stored_is_dots(self, charge):
        expected = f"{NAME}: expected arguments that can be stored as JSON, got {DOTS} at"

        assert f"{expected} args[1]." == refused(
            ArgumentError, charge.enqueue, 1, f"{CARD}\0", at=2
        )
        assert f"{expected} kwargs['card']." == refused(
            ArgumentError, charge.enqueue_many, [{"order_id": 1, "card": [f"{CARD}\0"]}]
        )

    def test_call_that_does_not_fit_does_not_show_a_default(self, charge):
        assert (
            f"{NAME}: got an unexpected keyword argument 'cart'. "
            f"Expected (order_id, card={DOTS}, *, at=None)."
        ) == refused(ArgumentError, charge.enqueue, 1, cart=CARD)

    def test_call_that_is_no_mapping_is_not_shown(self, charge):
        assert (
            f"{NAME}: expected each call to be a mapping of keyword arguments, got {DOTS}."
        ) == refused(InvalidJob, charge.enqueue_many, [(1, CARD)])

    @pytest.mark.parametrize("at", ["wrong", 250])
    def test_key_that_is_none_is_not_shown(self, charge, at):
        expected = "expected queue_key to be text of 1 to 255 characters, or None"

        assert f"{NAME}: {expected}, got {DOTS}." == refused(
            InvalidJob, charge.enqueue, 1, CARD, at=at
        )


class ReprTests:
    def test_reservation_does_not_show_its_arguments(self):
        shown = repr(reserved(args=[CARD], kwargs={"card": CARD}))

        assert CARD not in shown
        assert NAME in shown

    def test_call_does_not_show_its_arguments(self):
        assert "<Call of 33 bytes>" == repr(Call("[]", f'{{"card": "{CARD}"}}'))

    def test_record_does_not_show_its_arguments(self):
        record = record_of(reserved(args=[CARD]), JobState.RETRY)

        assert (f"{NAME} 7", f"<JobRecord: {NAME} 7>") == (str(record), repr(record))
