"""What a search is made of."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from django_jobflow.exceptions import InvalidJob
from django_jobflow.sentences import Sentence
from django_jobflow.sentences import noop as _

BARE = re.compile(r'[^\s,"\\]+')
"""A value that needs no quotes."""

PLAIN = re.compile(r"(?!\d+$)\w[\w.]*")
"""A word that is taken for nothing else."""


class SearchError(InvalidJob):
    """A text is no search.

    Attributes:
        text: All of it.
        start: The place of the mistake, counted from 0.
        end: Where the mistake ends.
        why: What is wrong, as a sentence.
    """

    def __init__(self, text: str, start: int, end: int, why: str) -> None:
        self.text = text
        self.start = start
        self.end = max(end, start + 1)
        self.why = why
        told = _("Search: at character %(at)s: %(why)s")
        super().__init__(Sentence(told, at=start + 1, why=why))

    @property
    def parts(self) -> tuple[str, str, str]:
        """The text before the mistake, the mistake, and the text behind it."""
        return self.text[: self.start], self.text[self.start : self.end], self.text[self.end :]

    @property
    def picture(self) -> str:
        """The text, and below it a mark under the mistake."""
        return f"{self.text}\n{' ' * self.start}{'^' * (self.end - self.start)}"


@dataclass(frozen=True, slots=True)
class Text:
    """A text that a column has, or begins with: ``shop.jobs.*``."""

    value: str
    is_prefix: bool = False

    def __str__(self) -> str:
        if self.is_prefix:
            return f"{self.value}*"
        return quoted(self.value)


@dataclass(frozen=True, slots=True)
class Scalar:
    """A value of JSON, and the text that it was written as."""

    value: Any
    text: str
    is_quoted: bool = False

    def __str__(self) -> str:
        return quoted(self.text, always=self.is_quoted)


@dataclass(frozen=True, slots=True)
class Term:
    """One condition.

    Attributes:
        key: What it is about; the key of a bare word is ``WORD``.
        values: Of which one has to hold.
        sign: ``:``, or a comparison.
        member: The name behind ``arg.``.
        is_negated: Whether it must not hold.
        start: Its place in the text.
        end: Where it ends.
    """

    key: str
    values: tuple[Any, ...]
    sign: str = ":"
    member: str = ""
    is_negated: bool = False
    start: int = field(default=0, compare=False)
    end: int = field(default=0, compare=False)

    @property
    def name(self) -> str:
        """What stands before the sign."""
        return f"{self.key}.{self.member}" if self.member else self.key

    def __str__(self) -> str:
        if not self.key:
            [word] = self.values
            return quoted(word.value, always=PLAIN.fullmatch(word.value) is None)
        said = ",".join(map(_said, self.values))
        if self.key == "state":
            said = said.lower()
        return f"{'-' if self.is_negated else ''}{self.name}{self.sign}{said}"


@dataclass(frozen=True, slots=True)
class Search:
    """Conditions that all have to hold. Its text is canonical: it can be kept and read again."""

    terms: tuple[Term, ...] = ()

    def __str__(self) -> str:
        return " ".join(map(str, self.terms))

    def __bool__(self) -> bool:
        return bool(self.terms)

    def __add__(self, other: Search) -> Search:
        return Search((*self.terms, *other.terms))

    def of(self, *keys: str) -> tuple[Term, ...]:
        """Return the terms about *keys*."""
        return tuple(term for term in self.terms if term.key in keys)

    def without(self, *keys: str) -> Search:
        """Return it without what it says about *keys*."""
        return Search(tuple(term for term in self.terms if term.key not in keys))


def quoted(text: str, *, always: bool = False) -> str:
    """Return *text* as it is written in a search, in quotes if it needs some."""
    if BARE.fullmatch(text) and not text.endswith("*") and not always:
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _said(value: Any) -> str:
    if isinstance(value, timedelta):
        return f"{value.total_seconds():.6f}".rstrip("0").rstrip(".") + "s"
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value)
