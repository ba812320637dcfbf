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
from django_jobflow.sentences import Sentence, either
from django_jobflow.sentences import noop as _

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
            why = _("expected at most %(most)s characters.")
            raise self._error(MOST_LETTERS, None, why, most=f"{MOST_LETTERS:,}")
        for found in re.finditer(r"[\x00\ud800-\udfff]", self.text):
            why = _("%(text)s is in no job.")
            raise self._error(found.start(), found.end(), why, text=repr(found[0]))
        terms = []
        self._skip_space()
        while self.at < len(self.text):
            terms.append(self._term())
            if len(terms) > MOST_TERMS:
                why = _("expected at most %(most)s terms.")
                raise self._error(terms[-1].start, None, why, most=MOST_TERMS)
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
                raise self._error(self.at, None, _("%(key)s takes one value."), key=key.name)
            self.at += 1
            values.append(self._value(key))
            if len(values) > MOST_VALUES:
                why = _("expected at most %(most)s values.")
                raise self._error(self.at, None, why, most=f"{MOST_VALUES:,}")
        self._check_end()
        if SUCCEEDED in values and len(values) > 1:
            why = _("what has succeeded is in a list of its own: succeeded stands alone.")
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
            near = conf.nearest_of(word, KEYS)
            why = _('%(word)s is no key. A text with %(sign)s in it needs quotes: "…".')
            if near is not None:
                why = _(
                    "%(word)s is no key. Did you mean %(near)s? "
                    'A text with %(sign)s in it needs quotes: "…".'
                )
            told = {"word": repr(word), "near": repr(near), "sign": sign}
            raise self._error(head.start(2), head.end(2), why, **told)
        if minus and not key.negates:
            raise self._error(head.start(), head.end(), _("%(key)s cannot be negated."), key=word)
        if bool(member) != key.has_members:
            why = _("expected %(key)s%(sign)s")
            if key.has_members:
                why = _("expected arg. and the name of an argument%(sign)s")
            raise self._error(head.start(2), head.end(3), why, key=word, sign=sign)
        if sign not in key.signs:
            why = _("expected %(signs)s behind %(key)s.")
            told = {"signs": either(key.signs), "key": word}
            raise self._error(head.start(4), head.end(4), why, **told)
        return key

    def _word(self) -> Term:
        start = self.at
        if re.match(r"-\D", self.text[start:]):
            why = _("only a term with a key can be negated, as -queue:x.")
            raise self._error(start, None, why)
        text, is_quoted = self._text(_("expected a word, or a key as queue:."))
        self._check_end()
        if text.isascii() and text.isdecimal() and not is_quoted:
            try:
                number = KEYS["id"].read(text, False)
            except Mistake:
                number = None
            if number is not None:
                return Term("id", (number,), start=start, end=self.at)
        if not text:
            raise self._error(start, self.at, _("expected a word, got an empty one."))
        return Term(WORD, (Text(text),), start=start, end=self.at)

    def _value(self, key: Key) -> Any:
        start = self.at
        text, is_quoted = self._text(_("expected a value for %(key)s."), key.name)
        try:
            return key.read(text, is_quoted)
        except Mistake as mistake:
            why = _("expected %(what)s, got %(value)s.")
            told = {"what": mistake.args[0], "value": repr(text)}
            raise self._error(start, self.at, why, **told) from None

    def _text(self, why: str, key: str = "") -> tuple[str, bool]:
        if found := QUOTED.match(self.text, self.at):
            self.at = found.end()
            return re.sub(r'\\(["\\])', r"\1", found[1]), True
        if self.text.startswith('"', self.at):
            raise self._error(self.at, len(self.text), _("this quote is not closed."))
        if found := BARE.match(self.text, self.at):
            self.at = found.end()
            return found[0], False
        raise self._error(self.at, None, why, key=key)

    def _check_end(self) -> None:
        if (
            self.at < len(self.text)
            and not self.text[self.at].isspace()
            and (self.text[self.at] != ",")
        ):
            raise self._error(self.at, None, _('expected a space here, or quotes: "…".'))
        if self.text.startswith(",", self.at):
            why = _("a comma stands between values of a key only.")
            raise self._error(self.at, None, why)

    def _skip_space(self) -> None:
        found = SPACE.match(self.text, self.at)
        assert found is not None
        self.at = found.end()

    def _error(self, start: int, end: int | None, why: str, /, **told: Any) -> SearchError:
        end = start + 1 if end is None else end
        return SearchError(self.text, start, end, Sentence(why, **told))
