"""Filters with a field: what can be chosen is what small tables know, and all else is typed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db import models
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from django_jobflow import conf
from django_jobflow.admin import cells
from django_jobflow.admin.filters import Choices
from django_jobflow.admin.searching import COMMON, MOST_WORKERS, TermFilter, worker_names
from django_jobflow.models import FailureGroup, Pause, PauseKind, Worker

MOST_KINDS = 200  # groups of failures, the latest, whose classes are offered
MOST_OFFERED = 20  # choices of one filter


class TypedFilter(TermFilter):
    """A term of the search, chosen or typed; no large table is asked for its values.

    Attributes:
        others: The rest of the address, which a form has to send along.
    """

    template = "admin/jobflow/typed_filter.html"

    def has_output(self) -> bool:
        return True

    def choices(self, changelist: Any) -> Iterator[Any]:
        self.others = [
            (name, value)
            for name, value in changelist.params.items()
            if name != self.parameter_name
        ]
        return super().choices(changelist)

    def known(self) -> list[str]:
        """Return values that are known without a look at jobs."""
        return []

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return self.with_chosen(self.known()[:MOST_OFFERED])

    def rows(self, model: type[models.Model]) -> models.QuerySet[Any]:
        """Return all rows of a small table."""
        return model._base_manager.using(conf.current().DATABASE)


class WorkerFilter(TypedFilter):
    """Jobs that a worker holds, or has executed."""

    title = _("worker")
    parameter_name = "worker"

    def known(self) -> list[str]:
        return worker_names(conf.current().DATABASE)


class PartitionFilter(TypedFilter):
    """Jobs of a partition, of those that workers and pauses name."""

    title = _("partition")
    parameter_name = "partition"

    def known(self) -> list[str]:
        served = self.rows(Worker).values_list("partitions", flat=True)[:MOST_WORKERS]
        paused = self.rows(Pause).filter(kind=PauseKind.PARTITION)
        found = {str(name) for names in served for name in cells.listed(names)}
        return sorted((found | {*paused.values_list("value", flat=True)}) - {""})

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        chosen = [each for each in super().lookups(request, model_admin) if each[0] != COMMON]
        return [(COMMON, str(_("the common one"))), *chosen]


class TagFilter(TypedFilter):
    """Jobs with a tag; nobody declares these."""

    title = _("tag")
    parameter_name = "tag"


class ErrorFilter(TypedFilter):
    """Jobs whose last error is of a class, of those that were seen of late."""

    title = _("exception")
    parameter_name = "error"

    def known(self) -> list[str]:
        latest = self.rows(FailureGroup).order_by("-last_seen_at")
        return [*dict.fromkeys(latest.values_list("exception", flat=True)[:MOST_KINDS])]
