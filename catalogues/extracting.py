"""What the code and the templates say to people, as Django's ``makemessages`` finds it.

Templates are read by Django itself, and the rest by Babel: gettext's own tools are not needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from babel.messages.extract import extract_python
from django.utils.translation.template import templatize

PACKAGE = Path(__file__).parent.parent / "django_jobflow"

PLAIN: tuple[int, ...] = (1,)
KEYWORDS: dict[str, tuple[Any, ...]] = {
    "_": PLAIN,
    "gettext": PLAIN,
    "gettext_lazy": PLAIN,
    "gettext_noop": PLAIN,
    "ngettext": (1, 2),
    "ngettext_lazy": (1, 2),
    "pgettext": ((1, "c"), 2),
    "pgettext_lazy": ((1, "c"), 2),
    "npgettext": ((1, "c"), 2, 3),
    "npgettext_lazy": ((1, "c"), 2, 3),
}
COMMENTS = ("Translators",)


class Said(NamedTuple):
    """A message of the package.

    Attributes:
        id: Its text, or its singular and its plural.
        context: What tells it from the same text elsewhere; mostly None.
        place: The file that has it.
        comments: What the code says to translators.
    """

    id: str | tuple[str, str]
    context: str | None
    place: str
    comments: tuple[str, ...]


def said() -> list[Said]:
    """Return all messages of the package."""
    found = []
    for path in sorted(PACKAGE.rglob("*")):
        place = path.relative_to(PACKAGE.parent).as_posix()
        if path.suffix == ".py" and "migrations" not in path.parts:
            found += messages_of(path.read_text(), place)
        elif path.suffix == ".html":
            found += messages_of(as_code(path.read_text(), place), place)
    return found


def as_code(template: str, place: str) -> str:
    """Return the calls of gettext that a *template* stands for, and nothing else of it."""
    # What stands around them is blank or X, but indented: Python's lexer would stumble.
    return "\n".join(line.strip() for line in templatize(template, origin=place).splitlines())


def messages_of(code: str, place: str) -> Iterator[Said]:
    """Yield the messages of a piece of Python."""
    for _, function, texts, comments in extract_python(
        BytesIO(code.encode()), list(KEYWORDS), list(COMMENTS), {}
    ):
        given = (texts,) if isinstance(texts, str) else tuple(texts or ())
        wanted = KEYWORDS[function]
        if len(given) < len(wanted):  # what is no literal cannot be read
            continue
        context = next((given[each[0] - 1] for each in wanted if isinstance(each, tuple)), None)
        ids = [given[each - 1] for each in wanted if isinstance(each, int)]
        if all(ids):
            yield Said(
                ids[0] if len(ids) == 1 else (ids[0], ids[1]), context, place, tuple(comments)
            )
