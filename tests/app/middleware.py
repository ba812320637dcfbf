"""Middleware that tests name in their settings."""

from asgiref.sync import iscoroutinefunction
from django.core.exceptions import MiddlewareNotUsed
from django.utils import translation
from django.utils.decorators import sync_and_async_middleware

from django_jobflow import Cancel

SEEN = []
"""What they have seen, in order."""


class Locale:
    """Carries the language from the enqueue to the execution."""

    sync_capable = True
    async_capable = True

    def __init__(self, call_next):
        self.call_next = call_next

    def process_enqueue(self, job, meta):
        meta.setdefault("language", translation.get_language())

    def __call__(self, job):
        if iscoroutinefunction(self.call_next):
            return self.acall(job)
        with translation.override(job.context.meta["language"]):
            return self.call_next(job)

    async def acall(self, job):
        with translation.override(job.context.meta["language"]):
            return await self.call_next(job)


def _named(name):
    @sync_and_async_middleware
    def factory(call_next):
        SEEN.append(f"{name} is built")
        if iscoroutinefunction(call_next):

            async def middleware(job):
                SEEN.append(f"{name} before {job.context.job_id}")
                result = await call_next(job)
                SEEN.append(f"{name} after {result}")
                return result

        else:

            def middleware(job):
                SEEN.append(f"{name} before {job.context.job_id}")
                result = call_next(job)
                SEEN.append(f"{name} after {result}")
                return result

        return middleware

    return factory


outer, inner = _named("outer"), _named("inner")


def plain_only(call_next):
    return lambda job: call_next(job)


def cancels(call_next):
    def middleware(job):
        raise Cancel("by the middleware")

    return middleware


def doubles(call_next):
    return lambda job: 2 * call_next(job)


def unused(call_next):
    raise MiddlewareNotUsed


def raises(call_next):
    raise ValueError("not today")


def returns_nothing(call_next):
    return None


class AddsAnObject:
    def __init__(self, call_next):
        self.call_next = call_next

    def process_enqueue(self, job, meta):
        meta["object"] = object()

    def __call__(self, job):
        return self.call_next(job)


nothing = None
