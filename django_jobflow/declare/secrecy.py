"""What of a call is not to be seen by those who read the admin, the log or an error."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from inspect import Parameter
from typing import Any

from django_jobflow.arguments import HIDDEN
from django_jobflow.arguments.binding import POSITIONAL, brief
from django_jobflow.conf import nearest
from django_jobflow.declare import registry
from django_jobflow.exceptions import InvalidJob

RESULT = "return"
"""The name of the result among those of the parameters, as in ``__annotations__``."""

TELLING = re.compile(
    r"(?:^|_)(?:password|passwd|passphrase|secret|token|credentials|api_?key|private_key"
    r"|access_key)(?:_|$)",
    re.IGNORECASE,
)
"""Names of parameters that say of themselves that their value is a secret."""


class Secrecy:
    """What of the calls of one job is not to be seen.

    What the signature does not know is hidden too: nobody has said that it may be seen.

    Args:
        signature: That of ``perform``, without ``self``.
        sensitive: The option of this name.
    """

    def __init__(self, signature: inspect.Signature, sensitive: bool | frozenset[str]) -> None:
        parameters = list(signature.parameters.values())
        self.sensitive = sensitive
        self._names = [parameter.name for parameter in parameters]
        self._positional = [p.name for p in parameters if p.kind in POSITIONAL]
        self._other = {
            p.kind: p.name
            for p in parameters
            if p.kind in {Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD}
        }

    @property
    def hides_anything(self) -> bool:
        """Whether it hides an argument of a call that fits, or the result."""
        return self.hides_result or any(map(self._is_named, self._names))

    @property
    def hides_result(self) -> bool:
        """Whether what the body returns is hidden."""
        return self._is_named(RESULT)

    def hides(self, key: int | str) -> bool:
        """Say whether the argument at a position, or of a name, is hidden."""
        if isinstance(self.sensitive, bool):
            return self.sensitive
        if isinstance(key, int):
            if key < len(self._positional):
                return self._is_named(self._positional[key])
            return self._hides_other(Parameter.VAR_POSITIONAL)
        return self._is_named(key) or (
            key not in self._names and self._hides_other(Parameter.VAR_KEYWORD)
        )

    def masked(self, args: Any, kwargs: Any) -> tuple[Any, Any]:
        """Return stored arguments with ``HIDDEN`` in the place of what is hidden."""
        return self._masked(args), self._masked(kwargs)

    def hidden(self, args: Any, kwargs: Any) -> list[Any]:
        """Return the stored values that are hidden."""
        found = []
        for stored in (args, kwargs):
            items = _items(stored)
            if items is None:
                found.append(stored)
            else:
                found += [value for key, value in items.items() if self.hides(key)]
        return found

    def _masked(self, stored: Any) -> Any:
        items = _items(stored)
        if items is None:  # no enqueue has written that
            return HIDDEN
        masked = {key: HIDDEN if self.hides(key) else value for key, value in items.items()}
        return list(masked.values()) if isinstance(stored, list) else masked

    def _hides_other(self, kind: Any) -> bool:
        name = self._other.get(kind)
        return name is None or self._is_named(name)

    def _is_named(self, name: str) -> bool:
        if isinstance(self.sensitive, bool):
            return self.sensitive
        return name in self.sensitive or TELLING.search(name) is not None


EVERYTHING = Secrecy(inspect.Signature(), True)
"""That of a record whose job nobody knows here."""


def secrecy_of(name: str) -> Secrecy:
    """Return what is hidden of a record of this name; all of it if its job is not known."""
    job = registry.find(name)
    return EVERYTHING if job is None else job._secrecy()


def check_names(
    place: str, signature: inspect.Signature, sensitive: bool | frozenset[str]
) -> None:
    """Refuse names that no parameter of *signature* has, nor takes.

    Raises:
        InvalidJob: One of them is a mistake, so what it was to hide would be seen.
    """
    parameters = signature.parameters.values()
    if isinstance(sensitive, bool) or any(p.kind is Parameter.VAR_KEYWORD for p in parameters):
        return
    known = [*signature.parameters, RESULT]
    for name in sorted(sensitive.difference(known)):
        raise InvalidJob(
            f"{place}: expected sensitive to name parameters of perform{brief(signature)}, "
            f"or {RESULT!r}, got {name!r}.{nearest(name, known)}"
        )


def _items(stored: Any) -> Mapping[Any, Any] | None:
    if isinstance(stored, list):
        return dict(enumerate(stored))
    return stored if isinstance(stored, dict) else None
