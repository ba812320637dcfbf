"""What jobs and settings name; asks no table."""

from __future__ import annotations

from django_jobflow import conf
from django_jobflow.declare import registry


def declared_names() -> list[str]:
    """Return the names of all declared jobs that a worker finds; asks no table."""
    return [job.definition().name for job in registry.all_jobs() if job._is_found()]


def declared_queues() -> list[str]:
    """Return the queues of all declared jobs and of the settings; asks no table."""
    declared = {job.definition().queue for job in registry.all_jobs()}
    return sorted(declared | set(conf.current().QUEUES))
