"""The operator's desk in Django's admin.

It registers itself where the admin is installed. To change a page, unregister its model and
register a subclass of the class here.
"""

from __future__ import annotations

from django.apps import apps
from django.contrib import admin

from django_jobflow.admin.audit import AuditEntryAdmin
from django_jobflow.admin.batches import BatchAdmin
from django_jobflow.admin.bulk import BulkOperationAdmin
from django_jobflow.admin.configuration import ConfigurationAdmin
from django_jobflow.admin.failed import FailedJobAdmin
from django_jobflow.admin.failures import FailureGroupAdmin
from django_jobflow.admin.jobs import JobRecordAdmin
from django_jobflow.admin.keys import KeyAdmin
from django_jobflow.admin.limits import LimitAdmin
from django_jobflow.admin.overview import HistoryAdmin
from django_jobflow.admin.pauses import PauseAdmin
from django_jobflow.admin.queues import QueueAdmin
from django_jobflow.admin.saved import SavedViewAdmin
from django_jobflow.admin.succeeded import SucceededJobAdmin
from django_jobflow.admin.workers import WorkerAdmin
from django_jobflow.models import (
    AuditEntry,
    Batch,
    BulkOperation,
    Configuration,
    FailedJob,
    FailureGroup,
    History,
    JobRecord,
    Key,
    Limit,
    Pause,
    Queue,
    SavedView,
    SucceededJob,
    Worker,
)

if apps.is_installed("django.contrib.admin"):
    admin.site.register(History, HistoryAdmin)
    admin.site.register(JobRecord, JobRecordAdmin)
    admin.site.register(FailedJob, FailedJobAdmin)
    admin.site.register(FailureGroup, FailureGroupAdmin)
    admin.site.register(SucceededJob, SucceededJobAdmin)
    admin.site.register(Worker, WorkerAdmin)
    admin.site.register(Batch, BatchAdmin)
    admin.site.register(Pause, PauseAdmin)
    admin.site.register(Limit, LimitAdmin)
    admin.site.register(AuditEntry, AuditEntryAdmin)
    admin.site.register(BulkOperation, BulkOperationAdmin)
    admin.site.register(SavedView, SavedViewAdmin)
    admin.site.register(Queue, QueueAdmin)
    admin.site.register(Key, KeyAdmin)
    admin.site.register(Configuration, ConfigurationAdmin)

__all__ = [
    "AuditEntryAdmin",
    "BatchAdmin",
    "BulkOperationAdmin",
    "ConfigurationAdmin",
    "FailedJobAdmin",
    "FailureGroupAdmin",
    "HistoryAdmin",
    "JobRecordAdmin",
    "KeyAdmin",
    "LimitAdmin",
    "PauseAdmin",
    "QueueAdmin",
    "SavedViewAdmin",
    "SucceededJobAdmin",
    "WorkerAdmin",
]
