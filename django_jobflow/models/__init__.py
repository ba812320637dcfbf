"""The models: import them from here, once Django's apps are ready."""

from django_jobflow.models.audit import AuditAction, AuditEntry, AuditVia
from django_jobflow.models.batches import Batch, BatchChange, BatchProgress
from django_jobflow.models.bulk import BulkOperation, BulkState, SavedView
from django_jobflow.models.controls import Limit, LimitKind, Pause, PauseKind
from django_jobflow.models.desk import Configuration, Key, Queue
from django_jobflow.models.failures import FailureGroup, FailureOccurrence, Release
from django_jobflow.models.history import History
from django_jobflow.models.holds import KeyHold
from django_jobflow.models.logs import JobLog
from django_jobflow.models.records import (
    FailedJob,
    JobFacts,
    JobRecord,
    StopKind,
    SucceededJob,
    Worker,
)

__all__ = [
    "AuditAction",
    "AuditEntry",
    "AuditVia",
    "Batch",
    "BatchChange",
    "BatchProgress",
    "BulkOperation",
    "BulkState",
    "Configuration",
    "FailedJob",
    "FailureGroup",
    "FailureOccurrence",
    "History",
    "JobFacts",
    "JobLog",
    "JobRecord",
    "Key",
    "KeyHold",
    "Limit",
    "LimitKind",
    "Pause",
    "PauseKind",
    "Queue",
    "Release",
    "SavedView",
    "StopKind",
    "SucceededJob",
    "Worker",
]
