"""The models: import them from here, once Django's apps are ready."""

from django_jobflow.models.records import FailedJob, JobFacts, JobRecord, SucceededJob, Worker

__all__ = ["FailedJob", "JobFacts", "JobRecord", "SucceededJob", "Worker"]
