"""Texts that quote what is not to be seen, such as the message of an exception."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator
from datetime import date, time
from typing import Any, Literal
from urllib.parse import quote, quote_plus
from uuid import UUID

from django_jobflow.arguments.form import TAG
from django_jobflow.arguments.hiding import DOTS
from django_jobflow.arguments.scalars import READERS

SHORTEST = 3  # characters of a value that is looked for; "1" or "no" is in every traceback
LONG = 8  # characters from which on it is replaced inside of a word, too
MOST_TEXTS = 5000  # that are looked for: a list of a million values would keep a worker busy

MALFORMED = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError)

Cut = Literal["start", "end"]


def without(text: str, values: Iterable[Any], *, cut: Cut | None = None) -> str:
    """Return *text* with dots where it quotes one of *values*, or nothing but dots.

    Args:
        values: Stored ones; all is dots where they are too many to be looked for.
        cut: The edge where the text has lost something, perhaps a part of a value.
    """
    try:
        secrets = sorted(texts_of(values), key=len, reverse=True)
    except RecursionError:
        return DOTS
    if len(secrets) > MOST_TEXTS:
        return DOTS
    for secret in secrets:
        if secret in text:
            text = replaced(text, secret)
    if not cut or not (size := max((overlap(text, secret, cut) for secret in secrets), default=0)):
        return text
    return DOTS + text[size:] if cut == "start" else text[:-size] + DOTS


def replaced(text: str, secret: str) -> str:
    """Return *text* with dots for *secret*; a short one only where no letter is beside it."""
    if len(secret) >= LONG:
        return text.replace(secret, DOTS)
    before = r"(?<![^\W_])" if secret[0].isalnum() else ""
    after = r"(?![^\W_])" if secret[-1].isalnum() else ""
    return re.sub(f"{before}{re.escape(secret)}{after}", DOTS, text)


def overlap(text: str, secret: str, cut: Cut) -> int:
    """Return how many letters at the edge where *text* was cut are a part of *secret*."""
    for size in range(min(len(secret) - 1, len(text)), SHORTEST - 1, -1):
        if cut == "end" and secret[size - 1] == text[-1] and text.endswith(secret[:size]):
            return size
        if cut == "start" and secret[-size] == text[0] and text.startswith(secret[-size:]):
            return size
    return 0


def texts_of(values: Iterable[Any]) -> set[str]:
    """Return the texts by which *values* may be quoted, or a few more than ``MOST_TEXTS``."""
    found: set[str] = set()
    for value in values:
        for text in quotations(value):
            if len(text.strip()) >= SHORTEST:
                found.add(text)
            if len(found) > MOST_TEXTS:
                return found
    return found


def quotations(stored: Any) -> Iterator[str]:
    """Yield the texts by which one may quote a stored value, or what is in it.

    Not the keys of an object, which are words of the code, nor a member of an Enum.
    """
    if isinstance(stored, str):
        yield from of_text(stored)
    elif isinstance(stored, list):
        for item in stored:
            yield from quotations(item)
    elif isinstance(stored, dict):
        yield from of_object(stored)
    elif type(stored) in (int, float):  # and not a bool
        yield repr(stored)


def of_object(stored: dict[str, Any]) -> Iterator[str]:
    kind = stored.get(TAG)
    if kind == "enum":
        return
    try:
        if kind in READERS:
            yield from of_scalar(READERS[kind](stored["value"]))
            return
        if kind == "model":
            _label, key, _alias = stored["value"]
            yield from quotations(key)
            return
    except MALFORMED:  # nothing that an enqueue has written
        pass
    for key, item in stored.items():
        if key != TAG:
            yield from quotations(item)


def of_text(text: str) -> Iterator[str]:
    """Yield *text* as it is, as a repr, as JSON, in an address, in HTML, and line by line."""
    yield text
    yield repr(text)[1:-1]
    yield json.dumps(text)[1:-1]
    yield json.dumps(text, ensure_ascii=False)[1:-1]
    yield quote(text, errors="replace")
    yield quote(text, safe="", errors="replace")
    yield quote_plus(text, errors="replace")
    yield html.escape(text)
    yield " ".join(text.split())
    yield from (line for line in text.splitlines() if len(line) >= LONG)


def of_scalar(value: Any) -> Iterator[str]:
    if isinstance(value, bytes):
        yield repr(value)[2:-1]
        yield value.hex()
        yield base64.b64encode(value).decode("ascii")
        yield from of_text(value.decode("utf-8", "replace"))
        return
    yield str(value)
    yield repr(value)
    if isinstance(value, UUID):
        yield value.hex
    if isinstance(value, date | time):
        yield value.isoformat()
