"""The views that a project may include."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache

from django_jobflow import conf
from django_jobflow.health import Limits, check
from django_jobflow.health.limits import MAX_WAIT, MIN_WORKERS, TIMEOUT, read_duration


def outside_transactions(view: Callable[..., Any]) -> Callable[..., Any]:
    """Let *view* be called without a transaction, which needs a database that can be reached."""
    for alias in conf.database_aliases():
        view = transaction.non_atomic_requests(alias)(view)
    return view


@method_decorator([outside_transactions, login_not_required, never_cache], name="dispatch")
class HealthView(View):
    """Say whether jobs get done: 200 or 503, and numbers as JSON; no names of anything.

    Attributes:
        max_wait: Seconds or timedelta that a job may wait for a worker.
        max_beat: Seconds or timedelta since the last heartbeat of a worker that counts as
            alive. None means JOBFLOW["LEASE"].
        min_workers: Workers that have to be alive.
        queues: Only these. None means all.
        database: Alias of the database. None means JOBFLOW["DATABASE"].
        timeout: Seconds or timedelta after which a database counts as silent.
    """

    http_method_names = ["get", "head"]

    max_wait: float | timedelta = MAX_WAIT
    max_beat: float | timedelta | None = None
    min_workers: int = MIN_WORKERS
    queues: Sequence[str] | None = None
    database: str | None = None
    timeout: float | timedelta = TIMEOUT

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Callable[..., HttpResponseBase]:
        view = super().as_view(**initkwargs)
        cls(**initkwargs)._question()  # so that a mistake is named where the address is written
        return view

    def get(self, request: HttpRequest) -> JsonResponse:
        health = check(*self._question())
        response = JsonResponse(health.summary(), status=200 if health.is_healthy else 503)
        # Django would log each 503 as an error and mail it to the ADMINS, probe by probe.
        response._has_been_logged = True  # type: ignore[attr-defined]
        return response

    def _question(self) -> tuple[str | None, Limits, timedelta]:
        if self.database is not None and self.database not in conf.database_aliases():
            raise ImproperlyConfigured(
                f"HealthView: expected database to be one of the aliases in DATABASES "
                f"{conf.database_aliases()}, got {self.database!r}."
            )
        limits = Limits.read(
            "HealthView",
            max_wait=self.max_wait,
            max_beat=self.max_beat,
            min_workers=self.min_workers,
            queues=self.queues,
        )
        return self.database, limits, read_duration("HealthView", "timeout", self.timeout)
