"""A middleware that is a context around each execution, plain or async."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.core.exceptions import ImproperlyConfigured

from django_jobflow.declare.job import Job


class Around:
    """The base of the middleware here.

    Args:
        call_next: What executes the call: the body, or the next middleware.
    """

    sync_capable = async_capable = True

    def __init__(self, call_next: Callable[[Job], Any]) -> None:
        self.call_next = call_next
        self._is_async = iscoroutinefunction(call_next)

    def __call__(self, job: Job) -> Any:
        """Execute the call of *job* inside of the context."""
        if self._is_async:
            return self._acall(job)
        with self.around(job):
            return self.call_next(job)

    async def _acall(self, job: Job) -> Any:
        with self.around(job):
            return await self.call_next(job)

    def around(self, job: Job) -> AbstractContextManager[object]:
        """Return the context of one execution."""
        raise NotImplementedError


def missing(module: str, package: str, extra: str) -> ImproperlyConfigured:
    """Return the error that names the extra to install."""
    return ImproperlyConfigured(
        f"django_jobflow.integrations.{module} needs the package {package}. "
        f'Install "django-jobflow[{extra}]".'
    )
