"""What is said to people: in the language, the formats and the time zone of who reads it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db.models import Choices
from django.utils import formats, timezone
from django.utils.translation import gettext


def noop(text: str) -> str:
    """Name *text* for the catalogues. Django's own asks the settings, which may not be there."""
    return text


_ = noop


class Sentence(str):
    """A text of an error: in English, for logs and programs, and translated for a page.

    Args:
        text: The English text that catalogues have, with names for what is put in.
        facts: What is put in, by name. What is a sentence itself is translated, too.
    """

    text: str
    facts: dict[str, Any]

    def __new__(cls, text: str, /, **facts: Any) -> Sentence:
        self = super().__new__(cls, text % facts if facts else text)
        self.text, self.facts = text, facts
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self.text, self.facts)

    def translated(self) -> str:
        """Return it in the language that is active."""
        facts = {name: translated(fact) for name, fact in self.facts.items()}
        return gettext(self.text) % facts if facts else gettext(self.text)


def _again(text: str, facts: dict[str, Any]) -> Sentence:
    return Sentence(text, **facts)


def either(words: Iterable[Any]) -> str:
    """Return *words*, of which one is right: ``a, b or c``."""
    *others, last = map(str, words)
    if not others:
        return last
    return Sentence(_("%(others)s or %(last)s"), others=", ".join(others), last=last)


def translated(said: Any) -> Any:
    """Return what an error tells in the language that is active."""
    if isinstance(said, Sentence):
        return said.translated()
    return said.label if isinstance(said, Choices) else said


def moment(at: datetime | None) -> str:
    """Return a moment in the time zone that is active, as its language writes a date."""
    if at is None:
        return "?"
    local = timezone.localtime(at) if timezone.is_aware(at) else at
    return f"{formats.date_format(local)}, {formats.date_format(local, 'H:i:s T')}".rstrip()
