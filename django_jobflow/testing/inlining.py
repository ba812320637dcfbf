"""Switching ``JOBFLOW["INLINE"]`` on for a while."""

from __future__ import annotations

from django.test.utils import override_settings

from django_jobflow import conf


class inline(override_settings):  # named as it is used
    """Execute at once what is enqueued inside: a context manager and a decorator.

    Each call is encoded and stored, its record is reserved, started, decoded, executed and
    settled, and then ``enqueue`` returns. What is not due yet, or waits for an execution key,
    stays; what a body enqueues comes after that body. A body runs inside the transaction that
    is open around the enqueue, if there is one.

    Decorates test functions, ``async`` ones too, and classes of ``SimpleTestCase``.

    Args:
        raise_errors: Whether ``enqueue`` raises what the body has raised, once its end is
            written.
    """

    def __init__(self, *, raise_errors: bool = False) -> None:
        super().__init__()
        self.raise_errors = raise_errors

    def enable(self) -> None:
        mode = "raise" if self.raise_errors else True
        self.options = {"JOBFLOW": {**conf.raw_settings(), "INLINE": mode}}
        super().enable()
