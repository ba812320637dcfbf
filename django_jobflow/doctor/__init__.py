"""The database's own health: what is wrong with it, how bad that is, and what to do."""

from django_jobflow.doctor.examining import examine
from django_jobflow.doctor.values import Code, Diagnosis, Finding, Severity, Size

__all__ = ["Code", "Diagnosis", "Finding", "Severity", "Size", "examine"]
