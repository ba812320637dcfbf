"""Who acts at a command line, and that what the commands do is in the audit."""

import getpass
import os
import socket
from datetime import timedelta

import pytest
from django.utils import timezone

from django_jobflow.audit import Actor
from django_jobflow.management.operator import operator
from django_jobflow.models import AuditEntry, Pause
from tests.factories import (
    FailedJobFactory,
    JobRecordFactory,
    SucceededJobFactory,
)
from tests.management.asking import ask

HOST = socket.gethostname()


@pytest.fixture(autouse=True)
def account(monkeypatch):
    monkeypatch.setenv("LOGNAME", "deploy")
    monkeypatch.delenv("SUDO_USER", raising=False)


class OperatorTests:
    def test_account_and_host(self):
        assert Actor("deploy", "command", f"deploy@{HOST}") == operator()

    def test_name_that_is_said(self):
        assert Actor("ann", "command", f"deploy@{HOST}") == operator("ann")

    def test_who_has_become_another(self, monkeypatch):
        monkeypatch.setenv("SUDO_USER", "ann")

        assert Actor("ann", "command", f"deploy@{HOST}") == operator()

    @pytest.mark.parametrize("error", [KeyError, OSError, ImportError])
    def test_account_without_a_name(self, monkeypatch, error):
        def nameless():
            raise error

        monkeypatch.setattr(getpass, "getuser", nameless)

        assert f"{os.getuid()}@{HOST}" == operator().origin


@pytest.mark.django_db
class WiredTests:
    """Whatever a command does is in the audit."""

    def told(self):
        rows = AuditEntry.objects.order_by("id")
        assert {("command", f"deploy@{HOST}")} == set(rows.values_list("via", "origin"))
        return list(rows.values_list("action", "by", "subject", "count"))

    @pytest.mark.parametrize(
        ("command", "state", "word"),
        [
            ("retry", "FAILED", "retry"),
            ("cancel", "SCHEDULED", "cancel"),
            ("run-now", "SCHEDULED", "run_now"),
            ("delete", "SCHEDULED", "delete"),
        ],
    )
    def test_verbs(self, command, state, word):
        record = JobRecordFactory(state=state)

        ask(command, record.pk, "--yes")

        assert [(word, "deploy", f"id:{record.pk}", 1)] == self.told()

    def test_filters_are_told_as_a_search(self):
        FailedJobFactory(queue="email", now=timezone.now() - timedelta(hours=2))

        ask("retry", "--queue=email", "--state=failed", "--older-than=1h", "--yes")

        search = "state:failed queue:email age>3600s"
        assert [("retry", "deploy", search, 1)] == self.told()

    def test_dry_run_is_not_told(self):
        ask("retry", FailedJobFactory().pk, "--dry-run")

        assert not AuditEntry.objects.exists()

    def test_history_prune_and_purge(self, settings):
        settings.JOBFLOW = {"RETAIN_FAILED": timedelta(days=1)}
        kept = SucceededJobFactory()
        FailedJobFactory(now=timezone.now() - timedelta(days=2))
        JobRecordFactory(queue="email")

        ask("delete", "--state=succeeded", kept.pk, "--yes")
        ask("prune", "--yes")
        ask("purge", "--queue=email", "--yes")

        assert [
            ("delete_succeeded", "deploy", f"id:{kept.pk} state:succeeded", 1),
            ("prune", "deploy", "", 1),
            ("purge", "deploy", "queue:email", 1),
        ] == self.told()

    def test_pauses_and_limits(self):
        ask("pause", "--queue=email", "--by=ann")
        ask("pause", "--queue=sms")
        ask("resume", "--queue=email")
        ask("limit", "--queue=email", "--concurrency=3", "--by=ann")
        ask("limit", "--queue=email", "--clear")

        assert [
            ("pause", "ann", "queue:email", 1),
            ("pause", "deploy", "queue:sms", 1),
            ("resume", "deploy", "queue:email", 1),
            ("set_limit", "ann", "queue:email", 1),
            ("clear_limit", "deploy", "queue:email", 1),
        ] == self.told()
        assert ["deploy"] == list(Pause.objects.values_list("by", flat=True))
