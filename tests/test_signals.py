import logging

import pytest
from django.dispatch import Signal

from django_jobflow import signals

NAMES = ["enqueued", "started", "succeeded", "retried", "failed", "cancelled", "rescued"]


class Sender:
    """Stands for a declared class."""


@pytest.fixture
def signal():
    return Signal()


def not_asked():
    raise AssertionError("Nobody listens, so no record is to be made.")


def not_asked_for_long():
    raise ValueError


class AnnounceTests:
    def test_receiver_is_given_the_sender_the_record_and_more(self, signal):
        heard = []

        def receive(sender, **values):
            heard.append((sender, values))

        signal.connect(receive)

        signals.announce(signal, Sender, lambda: "record", result=7)

        assert [(Sender, {"signal": signal, "record": "record", "result": 7})] == heard

    def test_without_receivers_no_record_is_made(self, signal):
        signals.announce(signal, Sender, not_asked)

    def test_receiver_for_another_sender_is_none(self, signal):
        signal.connect(lambda **_: None, sender=object, weak=False)

        signals.announce(signal, Sender, not_asked)

    def test_receiver_that_raises_is_logged_and_the_others_hear(self, signal, caplog):
        heard = []

        def broken(**values):
            raise ValueError("100%s")

        def receive(record, **values):
            heard.append(record)

        signal.connect(broken)
        signal.connect(receive)

        signals.announce(signal, Sender, lambda: "record")

        assert ["record"] == heard
        (logged,) = (each for each in caplog.records if each.name == "django_jobflow.signals")
        assert (logging.ERROR, "receiver_failed") == (logged.levelno, logged.event)
        assert (
            "receiver_failed receiver=AnnounceTests."
            "test_receiver_that_raises_is_logged_and_the_others_hear.<locals>.broken "
            "error=ValueError('100%s')"
        ) == logged.getMessage()
        assert "100%s" == str(logged.exc_info[1])

    def test_receiver_without_a_name_costs_nothing_either(self, signal, caplog):
        class Broken:
            def __call__(self, **values):
                raise ValueError("no")

        broken = Broken()
        signal.connect(broken)

        signals.announce(signal, Sender, lambda: "record")

        (logged,) = (each for each in caplog.records if each.name == "django_jobflow.signals")
        assert "receiver_failed receiver=unnamed error=" in logged.getMessage()
        assert "no" == str(logged.exc_info[1].__context__)

    def test_record_that_cannot_be_made_costs_nothing(self, signal, caplog):
        signal.connect(lambda **_: None, weak=False)

        signals.announce(signal, Sender, not_asked_for_long)

        assert "receiver_failed receiver=unnamed error=ValueError()" in caplog.messages

    @pytest.mark.parametrize("name", NAMES)
    def test_each_event_of_a_life_has_its_signal(self, name):
        assert isinstance(getattr(signals, f"job_{name}"), Signal)
