"""Binding of a call to the signature of ``perform``."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter
from typing import Any

from django_jobflow.arguments.hiding import HIDDEN, Hides, hides_nothing
from django_jobflow.arguments.refusal import SHOWN_LENGTH
from django_jobflow.exceptions import ArgumentError
from django_jobflow.sentences import Sentence
from django_jobflow.sentences import noop as _

POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
NAMED = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


@dataclass(frozen=True, slots=True)
class Shape:
    """What of a signature decides most calls, without ``Signature.bind``.

    Attributes:
        signature: Which it is of.
        positional: Names that may be given by position, in order.
        named: Names that may be given by keyword.
        required: Names that have no default.
    """

    signature: inspect.Signature
    positional: tuple[str, ...]
    named: frozenset[str]
    required: frozenset[str]

    @classmethod
    def of(cls, signature: inspect.Signature) -> Shape:
        parameters = signature.parameters.values()
        return cls(
            signature=signature,
            positional=tuple(p.name for p in parameters if p.kind in POSITIONAL),
            named=frozenset(p.name for p in parameters if p.kind in NAMED),
            required=frozenset(
                p.name
                for p in parameters
                if p.default is Parameter.empty and p.kind in {*POSITIONAL, *NAMED}
            ),
        )

    def fits(self, args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
        """Tell whether the call is certainly right; a False decides nothing."""
        names = kwargs.keys()
        if not args:
            return self.required <= names <= self.named
        taken = self.positional[: len(args)]
        return (
            len(taken) == len(args)
            and names <= self.named
            and not self.required.difference(taken, names)
            and names.isdisjoint(taken)
        )


MISFITS = (
    _("missing a required argument: %(argument)s"),
    _("missing a required keyword-only argument: %(argument)s"),
    _("too many positional arguments"),
    _("got an unexpected keyword argument %(argument)s"),
    _("multiple values for argument %(argument)s"),
)
"""What ``inspect.Signature.bind`` says."""


def bind(
    name: str,
    shape: Shape,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    hides: Hides = hides_nothing,
) -> tuple[list[Any], dict[str, Any]]:
    """Return the arguments as they were given, after a check that they fit.

    Defaults are not filled in: a job that waits runs with the defaults of the code that
    runs it.

    Args:
        name: The job's name, for the error.
        shape: That of the signature of ``perform`` without ``self``.
        hides: Which parameters' defaults the error is not to show.

    Raises:
        ArgumentError: The call does not fit; a TypeError, as from a direct call.
    """
    named = dict(kwargs)  # a mapping's keys need not be a set
    if not shape.fits(args, named):
        try:
            shape.signature.bind(*args, **named)
        except TypeError as error:
            expected = brief(shape.signature, hides)
            text = _("%(name)s: %(error)s. Expected %(call)s.")
            told = {"name": name, "error": _misfit(str(error)), "call": expected}
            raise ArgumentError(Sentence(text, **told)) from None
    return list(args), named


def _misfit(error: str) -> str:
    """Return what Python says of a call that does not fit so that it can be translated."""
    for text in MISFITS:
        known, _argument, _rest = text.partition("%")
        if error == text or (_argument and error.startswith(known)):
            return Sentence(text, argument=error.removeprefix(known))
    return error


def brief(signature: inspect.Signature, hides: Hides = hides_nothing) -> str:
    """Return the text of *signature* without annotations, and not too long."""
    parameters = [
        p.replace(
            annotation=Parameter.empty,
            default=HIDDEN if p.default is not Parameter.empty and hides(p.name) else p.default,
        )
        for p in signature.parameters.values()
    ]
    text = str(inspect.Signature(parameters))
    return text if len(text) <= 2 * SHOWN_LENGTH else f"{text[: 2 * SHOWN_LENGTH - 4]}...)"
