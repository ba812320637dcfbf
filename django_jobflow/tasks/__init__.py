"""Django's tasks, on this queue: the backend, and tasks with the options of a job."""

from django_jobflow.tasks.backend import DuplicateTask, JobflowBackend
from django_jobflow.tasks.context import JobflowTaskContext
from django_jobflow.tasks.declaring import JobflowTask, task
from django_jobflow.tasks.options import UNSET
from django_jobflow.tasks.results import JobflowTaskError, JobflowTaskResult
from django_jobflow.tasks.tolerant import DummyBackend, ImmediateBackend, InlineBackend

__all__ = [
    "UNSET",
    "DummyBackend",
    "DuplicateTask",
    "ImmediateBackend",
    "InlineBackend",
    "JobflowBackend",
    "JobflowTask",
    "JobflowTaskContext",
    "JobflowTaskError",
    "JobflowTaskResult",
    "task",
]
