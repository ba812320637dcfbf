import subprocess
import sys

import pytest
from django.contrib import admin
from django.core.checks import run_checks

from django_jobflow.admin import (
    AuditEntryAdmin,
    BatchAdmin,
    FailedJobAdmin,
    HistoryAdmin,
    JobRecordAdmin,
    LimitAdmin,
    PauseAdmin,
    SucceededJobAdmin,
    WorkerAdmin,
)
from django_jobflow.models import (
    AuditEntry,
    Batch,
    FailedJob,
    History,
    JobRecord,
    Limit,
    Pause,
    SucceededJob,
    Worker,
)

WITHOUT_ADMIN = """
import sys
import django
from django.conf import settings
settings.configure(
    INSTALLED_APPS=["django.contrib.contenttypes", "django_jobflow"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3"}},
)
django.setup()
assert "django_jobflow.admin" not in sys.modules
"""


def run(code):
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert (0, "") == (ended.returncode, ended.stderr)


def test_each_model_is_registered_where_the_admin_is_installed():
    expected = {
        History: HistoryAdmin,
        JobRecord: JobRecordAdmin,
        FailedJob: FailedJobAdmin,
        SucceededJob: SucceededJobAdmin,
        Worker: WorkerAdmin,
        Batch: BatchAdmin,
        Pause: PauseAdmin,
        Limit: LimitAdmin,
        AuditEntry: AuditEntryAdmin,
    }
    assert expected == {model: type(admin.site.get_model_admin(model)) for model in expected}


def test_app_works_without_the_admin():
    run(WITHOUT_ADMIN)


def test_classes_can_be_imported_without_the_admin():
    """There is no site then: to register them would be an error."""
    run(f"{WITHOUT_ADMIN}from django_jobflow.admin import JobRecordAdmin")


def test_classes_satisfy_the_checks_of_the_admin():
    assert [] == [message for message in run_checks(tags=["admin"]) if "jobflow" in str(message)]


@pytest.mark.django_db
def test_subclass_shows_what_it_changes(rf, admin_user):
    class QueueFirst(JobRecordAdmin):
        list_display = ("queue", "id")

    request = rf.get("/")
    request.user = admin_user
    changelist = QueueFirst(JobRecord, admin.site).get_changelist_instance(request)

    assert ["action_checkbox", "queue", "id"] == changelist.list_display
