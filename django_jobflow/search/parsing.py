"""From a text to a search.

::

    search = [ term { space term } ]
    term   = [ "-" ] key sign value { "," value }  |  value
    key    = name  |  "arg." name
    sign   = ":" | ">" | "<" | ">=" | "<="
    value  = one or more characters but space, comma, quote and backslash
           | '"' { any character but quote and backslash | '\\"' | '\\\\' } '"'
"""

from __future__ import annotations

import re
from typing import Any

from django_jobflow import conf
from django_jobflow.search.keys import KEYS, SUCCEEDED, WORD, Key, Mistake
from django_jobflow.search.terms import BARE, Search, SearchError, Term, Text

MOST_LETTERS = 1000
MOST_TERMS = 30
MOST_VALUES = 1000

HEAD = re.compile(r"(-?)([A-Za-z_][A-Za-z_0-9]*)((?:\.[^\W\d]\w*)?)(>=|<=|:|>|<)")
SPACE = re.compile(r"\s*")
QUOTED = re.compile(r'"((?:[^"\\]|\\["\\])*)"')


def parse(text: str) -> Search:
    """Return what *text* asks for.

    Raises:
        SearchError: It asks for nothing that can be understood; the error shows the place.
    """
    return _Parser(text).search()


class _Parser:
    """Reads one text from left to right."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def search(self) -> Search:
        if len(self.text) > MOST_LETTERS:
            raise self._error(MOST_LETTERS, None, f"expected at most {MOST_LETTERS:,} characters.")
        for found in re.finditer(r"[\x00\ud800-\udfff]", self.text):
            raise self._error(found.start(), found.end(), f"{found[0]!r} is in no job.")
        terms = []
        self._skip_space()
        while self.at < len(self.text):
            terms.append(self._term())
            if len(terms) > MOST_TERMS:
                raise self._error(terms[-1].start, None, f"expected at most {MOST_TERMS} terms.")
            self._skip_space()
        return Search(tuple(terms))

    def _term(self) -> Term:
        start = self.at
        head = HEAD.match(self.text, start)
        if head is None:
            return self._word()
        minus, word, member, sign = head.groups()
        key = self._key(head)
        self.at = head.end()
        values = [self._value(key)]
        while self.text.startswith(",", self.at):
            if not key.is_list:
                raise self._error(self.at, None, f"{key.name} takes one value.")
            self.at += 1
            values.append(self._value(key))
            if len(values) > MOST_VALUES:
                raise self._error(self.at, None, f"expected at most {MOST_VALUES:,} values.")
        self._check_end()
        if SUCCEEDED in values and len(values) > 1:
            why = "what has succeeded is in a list of its own: succeeded stands alone."
            raise self._error(head.end(), self.at, why)
        return Term(
            key=word,
            values=tuple(dict.fromkeys(values)),
            sign=sign,
            member=member[1:],
            is_negated=bool(minus),
            start=start,
            end=self.at,
        )

    def _key(self, head: re.Match[str]) -> Key:
        minus, word, member, sign = head.groups()
        key = KEYS.get(word)
        if key is None:
            why = f"{word!r} is no key.{conf.nearest(word, KEYS)}"
            raise self._error(
                head.start(2), head.end(2), f'{why} A text with {sign} in it needs quotes: "…".'
            )
        if minus and not key.negates:
            raise self._error(head.start(), head.end(), f"{word} cannot be negated.")
        if bool(member) != key.has_members:
            expected = "arg. and the name of an argument" if key.has_members else word
            raise self._error(head.start(2), head.end(3), f"expected {expected}{sign}")
        if sign not in key.signs:
            raise self._error(
                head.start(4), head.end(4), f"expected {_either(key.signs)} behind {word}."
            )
        return key

    def _word(self) -> Term:
        start = self.at
        if re.match(r"-\D", self.text[start:]):
            raise self._error(start, None, "only a term with a key can be negated, as -queue:x.")
        text, is_quoted = self._text("a word, or a key as queue:")
        self._check_end()
        if text.isascii() and text.isdecimal() and not is_quoted:
            try:
                number = KEYS["id"].read(text, False)
            except Mistake:
                number = None
            if number is not None:
                return Term("id", (number,), start=start, end=self.at)
        if not text:
            raise self._error(start, self.at, "expected a word, got an empty one.")
        return Term(WORD, (Text(text),), start=start, end=self.at)

    def _value(self, key: Key) -> Any:
        start = self.at
        text, is_quoted = self._text(f"a value for {key.name}")
        try:
            return key.read(text, is_quoted)
        except Mistake as mistake:
            raise self._error(start, self.at, f"expected {mistake}, got {text!r}.") from None

    def _text(self, expected: str) -> tuple[str, bool]:
        if found := QUOTED.match(self.text, self.at):
            self.at = found.end()
            return re.sub(r'\\(["\\])', r"\1", found[1]), True
        if self.text.startswith('"', self.at):
            raise self._error(self.at, len(self.text), "this quote is not closed.")
        if found := BARE.match(self.text, self.at):
            self.at = found.end()
            return found[0], False
        raise self._error(self.at, None, f"expected {expected}.")

    def _check_end(self) -> None:
        if (
            self.at < len(self.text)
            and not self.text[self.at].isspace()
            and (self.text[self.at] != ",")
        ):
            raise self._error(self.at, None, 'expected a space here, or quotes: "…".')
        if self.text.startswith(",", self.at):
            raise self._error(self.at, None, "a comma stands between values of a key only.")

    def _skip_space(self) -> None:
        found = SPACE.match(self.text, self.at)
        assert found is not None
        self.at = found.end()

    def _error(self, start: int, end: int | None, why: str) -> SearchError:
        return SearchError(self.text, start, start + 1 if end is None else end, why)


def _either(signs: tuple[str, ...]) -> str:
    *others, last = signs
    return f"{', '.join(others)} or {last}" if others else last
