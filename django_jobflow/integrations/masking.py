"""What of a call, and of an error that quotes it, may leave this system."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django_jobflow.arguments import HIDDEN
from django_jobflow.arguments.encoding import encode_values
from django_jobflow.arguments.quoting import without
from django_jobflow.declare.job import Job
from django_jobflow.exceptions import ArgumentError


class Mask:
    """Puts dots in the place of the sensitive arguments of one call.

    Args:
        job: The instance that performs the call.

    Attributes:
        hides_anything: Whether there is anything to hide.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self._secrecy = job._secrecy()
        self.hides_anything = self._secrecy.hides_anything
        self._hidden: list[Any] | None = None

    def arguments(self) -> Mapping[str, str]:
        """Return the arguments of the call as texts, by the names of the parameters."""
        return {
            name: repr(HIDDEN if self._secrecy.hides(name) else value)
            for name, value in self.job.arguments.items()
        }

    def text(self, text: str) -> str:
        """Return *text* with dots where it quotes what is hidden."""
        if not self.hides_anything:
            return text
        if self._hidden is None:
            self._hidden = self._hidden_values()
        return without(text, self._hidden)

    def _hidden_values(self) -> list[Any]:
        secrecy = self._secrecy
        args, kwargs = self.job._bound
        try:
            stored = encode_values(self.job._name, args, kwargs, secrecy.hides)
        except ArgumentError:  # changed by the body to what cannot be stored
            return [[str(each) for each in (*args, *kwargs.values())]]
        return secrecy.hidden(*stored)
