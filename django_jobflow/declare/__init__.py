"""Declaring jobs, and finding what was declared; no ORM in here."""

from django_jobflow.declare.context import JobContext, current_context
from django_jobflow.declare.function import DeclaredFunction, job
from django_jobflow.declare.job import Job
from django_jobflow.declare.options import Definition

__all__ = ["DeclaredFunction", "Definition", "Job", "JobContext", "current_context", "job"]
