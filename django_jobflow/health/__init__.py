"""Whether jobs get done: a few cheap questions to the database, and what follows from them."""

from django_jobflow.health.checking import check
from django_jobflow.health.limits import Limits
from django_jobflow.health.values import Fact, Finding, Health, Seen

__all__ = ["Fact", "Finding", "Health", "Limits", "Seen", "check"]
