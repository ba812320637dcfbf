"""How a worker chooses the way in which it learns of work, without its loop."""

import logging
from datetime import timedelta

import pytest
from django.db import OperationalError, ProgrammingError, connection

from django_jobflow import conf
from django_jobflow.engines import engine_for
from django_jobflow.worker.agenda import Agenda
from django_jobflow.worker.fetch import Fetch
from django_jobflow.worker.inbox import Inbox
from django_jobflow.worker.options import WorkerOptions
from django_jobflow.worker.wakeups import WakeUps


@pytest.fixture
def make_wakeups(transactional_db, caplog):
    caplog.set_level(logging.INFO)
    made = []

    def make(**options):
        given = WorkerOptions(database="default", **options)
        engine, inbox = engine_for("default"), Inbox()
        agenda = Agenda(engine, conf.current().POLL_INTERVAL, given.queues)
        made.append(WakeUps(engine, given, Fetch(engine, given), agenda, inbox))
        return made[-1]

    yield make
    for wakeups in made:
        wakeups.stop()
        wakeups.inbox.close()


@pytest.fixture
def needs_waking():
    if engine_for("default").cannot_listen():
        pytest.skip("This database wakes nobody.")


def refusing(beginning, error):
    def wrapper(execute, sql, params, many, context):
        if sql.startswith(beginning):
            raise error
        return execute(sql, params, many, context)

    return connection.execute_wrapper(wrapper)


class ChoiceTests:
    def test_way_is_chosen_once(self, make_wakeups, caplog):
        wakeups = make_wakeups()

        wakeups.follow()
        wakeups.follow()

        assert 1 == caplog.text.count("wake_ups mode=")
        assert wakeups.mode in {"notify", "changes", "poll"}

    def test_worker_that_drains_does_not_listen(self, make_wakeups):
        wakeups = make_wakeups(drain=True)

        wakeups.follow()

        assert "notify" != wakeups.mode

    def test_polls_are_taken_where_listening_is_refused(self, needs_waking, make_wakeups, caplog):
        wakeups = make_wakeups()

        with refusing("LISTEN", ProgrammingError("no such thing")):
            wakeups.follow()

        assert "poll" == wakeups.mode
        assert "LISTEN was refused: ProgrammingError('no such thing')" in caplog.text

    def test_choice_is_made_again_after_trouble(self, needs_waking, make_wakeups):
        wakeups = make_wakeups()

        with refusing("LISTEN", OperationalError("away")), pytest.raises(OperationalError):
            wakeups.follow()
        assert wakeups.mode is None
        wakeups.follow()

        assert "notify" == wakeups.mode

    def test_polls_are_taken_without_a_second_connection(
        self, needs_waking, make_wakeups, caplog, monkeypatch
    ):
        wakeups = make_wakeups()

        def refuse(self):
            raise OperationalError("too many clients")

        monkeypatch.setattr(
            "django_jobflow.engines.postgresql_listener.Listener.send_test", refuse
        )
        wakeups.follow()

        assert "poll" == wakeups.mode
        assert "no second connection for a test: OperationalError('too many" in caplog.text

    @pytest.mark.parametrize(("is_heard", "mode"), [(True, "notify"), (False, "poll")])
    def test_tests_of_others_are_not_taken_for_its_own(
        self, needs_waking, make_wakeups, monkeypatch, is_heard, mode
    ):
        from django_jobflow.engines.postgresql_listener import Listener

        send_test = Listener.send_test

        def send_among_others(listener):
            other = engine_for("default").listener(print)
            send_test(other)
            if is_heard:
                send_test(listener)
            send_test(other)

        monkeypatch.setattr(Listener, "send_test", send_among_others)
        wakeups = make_wakeups()
        wakeups.follow()

        assert mode == wakeups.mode

    def test_pooler_hint_of_django_takes_polls(
        self, needs_waking, make_wakeups, caplog, monkeypatch
    ):
        monkeypatch.setitem(connection.settings_dict, "DISABLE_SERVER_SIDE_CURSORS", True)

        make_wakeups().follow()

        assert "mode=poll reason='DISABLE_SERVER_SIDE_CURSORS is set: a pooler'" in caplog.text


class HearingTests:
    @pytest.fixture
    def inbox(self):
        inbox = Inbox()
        yield inbox
        inbox.close()

    @pytest.fixture
    def say(self, needs_waking, make_wakeups):
        """Say something from another connection; return the agenda that has heard it."""
        wakeups = make_wakeups(queues=("served",))
        wakeups.follow()
        wakeups.agenda.look_around()
        other = connection.copy()

        def say(payload):
            with other.cursor() as cursor:
                cursor.execute(f"NOTIFY jobflow, '{payload}'")
            wakeups.inbox.sleep(30)
            wakeups.take()
            return wakeups.agenda

        yield say
        other.close()

    @pytest.mark.parametrize(
        ("payload", "news"),
        [("served", True), ("*", True), ("a,served", True), ("other", False), ("@5", False)],
    )
    def test_only_what_concerns_it_is_news(self, say, payload, news):
        assert news == say(payload).news

    def test_due_time_is_kept(self, say, inbox):
        agenda = say("@0.01")

        agenda.sleep(inbox, float("inf"), looks=True)

        assert 0 == agenda.activate_due()
        assert agenda.glance_is_due(looks=False)

    def test_what_comes_with_an_answer_is_heard(self, needs_waking, make_wakeups):
        wakeups = make_wakeups()
        wakeups.follow()
        wakeups.agenda.look_around()

        with connection.cursor() as cursor:
            cursor.execute("NOTIFY jobflow, 'default'")
        wakeups.take()

        assert wakeups.agenda.news

    def test_second_look_follows_the_first(self, say, inbox):
        agenda = say("served")
        agenda.begin_look()
        agenda.looked(1)

        agenda.sleep(inbox, float("inf"), looks=True)

        assert agenda.glance_is_due(looks=True)
        agenda.look_around()
        assert not agenda.glance_is_due(looks=True)


class AgendaTests:
    def test_look_that_passed_something_over_is_made_again(self, transactional_db):
        agenda = Agenda(engine_for("default"), timedelta(hours=1))
        agenda.rely_on_polls(eager=False)
        agenda.look_around()
        assert not agenda.glance_is_due(looks=True)

        agenda.look_again(0)

        assert agenda.glance_is_due(looks=True)
        agenda.look_around()
        assert not agenda.glance_is_due(looks=True)

    def test_what_is_announced_during_a_glance_is_kept(self, transactional_db):
        agenda = Agenda(engine_for("default"), timedelta(hours=1))

        def interrupt(execute, sql, params, many, context):
            agenda.announce()
            agenda.expect(timedelta(0))
            return execute(sql, params, many, context)

        with connection.execute_wrapper(interrupt):
            agenda.look_around()

        assert agenda.news
        assert 0 == agenda.activate_due()
        assert agenda.glance_is_due(looks=False)
