"""Switching ``JOBFLOW["INLINE"]`` on for a while."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.test import SimpleTestCase
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

    def decorate_class(self, cls: Any) -> Any:
        if not issubclass(cls, SimpleTestCase):
            raise ValueError(
                f"inline: expected a function or a subclass of Django's SimpleTestCase, got "
                f"{cls!r}. Decorate its methods."
            )
        return super().decorate_class(cls)

    def enable(self) -> None:
        self._read(conf.raw_settings())
        super().enable()

    def save_options(self, test_func: Any) -> None:
        """Add to what a class overrides in the settings, which its ``setUpClass`` then does."""
        overridden = test_func._overridden_settings or {}
        self._read(overridden.get("JOBFLOW", conf.raw_settings()))
        super().save_options(test_func)

    def _read(self, jobflow: Mapping[str, Any]) -> None:
        mode = "raise" if self.raise_errors else True
        self.options = {"JOBFLOW": {**jobflow, "INLINE": mode}}
