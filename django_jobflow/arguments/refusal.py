"""How a refused value says what it is and where it was found."""

from __future__ import annotations

import reprlib
from typing import Any

from django_jobflow.arguments.hiding import DOTS, Hides
from django_jobflow.sentences import Sentence
from django_jobflow.sentences import noop as _

SHOWN_LENGTH = 80
PATH_LENGTH = 160


class Refusal(Exception):
    """A value that cannot be stored or read back, on its way up to the caller.

    Every container that it passes adds its step, so a walk that succeeds pays nothing
    for the path.

    Args:
        got: What was found, as it is to be read after "got".
        why: What is wrong with it, as it is to be read after "which".
        advice: A sentence that says what to do.
        deepest: The container that was one level too deep.

    Attributes:
        key: Where it was found in the container that it has passed last.
    """

    def __init__(
        self, got: str, *, why: str = "", advice: str = "", deepest: object = None
    ) -> None:
        super().__init__(got)
        self.got = got
        self.why = why
        self.advice = advice
        self.deepest = deepest
        self.steps: list[str] = []
        self.key: int | str | None = None

    def passed(self, container: object, step: str, key: int | str | None = None) -> None:
        """Note that the value was found in *container*, one *step* below it, at *key*."""
        self.steps.append(step)
        self.key = key
        if container is self.deepest:  # met again further up: a circle, reported where it begins
            self.got = f"a {type(container).__name__} that contains itself"
            self.advice = ""
            self.steps.clear()

    def hide(self) -> None:
        """Forget all but the advice: the value is not to be seen."""
        self.got, self.why, self.steps = DOTS, "", []
        self.__cause__ = None

    def hide_in(self, hides: Hides) -> None:
        """Forget all but the argument that holds the value, if that is not to be seen."""
        if self.key is not None and hides(self.key):
            argument = self.steps[-1]
            self.hide()
            self.steps = [argument]

    def sentence(self, name: str, expected: str, root: str) -> str:
        """Return the whole message, for a value found below *root*."""
        path = root + "".join(reversed(self.steps))
        if len(path) > PATH_LENGTH:
            path = f"{path[: PATH_LENGTH // 2]}...{path[-PATH_LENGTH // 2 :]}"
        text = _("%(name)s: expected %(expected)s, got %(got)s at %(path)s.")
        if self.why:
            text = _("%(name)s: expected %(expected)s, got %(got)s at %(path)s, which %(why)s.")
        told = {"expected": expected, "got": self.got, "path": path, "why": self.why}
        sentence = Sentence(text, name=name, **told)
        if not self.advice:
            return sentence
        return Sentence("%(sentence)s %(advice)s", sentence=sentence, advice=self.advice)


class ShortRepr(reprlib.Repr):
    """A repr that stays short and asks no database."""

    def __init__(self) -> None:
        super().__init__()
        self.maxother = self.maxstring = self.maxlong = SHOWN_LENGTH
        self.maxlevel = 3

    def repr_instance(self, x: Any, level: int) -> str:
        from django.db.models import Model, QuerySet

        if issubclass(type(x), QuerySet | Model):  # their repr may run queries
            return f"<{type(x).__name__}>"
        return super().repr_instance(x, level)


SHORT_REPR = ShortRepr()


def shown(value: object, length: int = SHOWN_LENGTH) -> str:
    """Return the repr of *value* on one line of at most *length* characters."""
    try:
        text = " ".join(SHORT_REPR.repr(value).split())
    except Exception:  # the repr of a foreign object may do anything
        text = f"<{type(value).__name__}>"
    if not text.isprintable():
        text = ascii(text)[1:-1]
    return text if len(text) <= length else f"{text[: length - 3]}..."


def step_to(key: object) -> str:
    """Return the step from a container to its value at *key*."""
    return f"[{shown(key, SHOWN_LENGTH // 2)}]"
