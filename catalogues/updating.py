"""The catalogues as files: made, read, and brought up to what the package says."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po

from catalogues.extracting import PACKAGE, Said, said

LANGUAGES = ("de", "es", "fr", "it", "ja", "nl", "pl", "pt_BR", "zh_Hans")
"""Those that the package is translated into, as Django names their folders."""

HEADER = """\
# Translations of django_jobflow, into {language}.
# They are under the same licence as the package."""
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)  # a date that changes would change each file each time
WIDTH = 99

Key = tuple[Any, str | None]


def path_of(language: str) -> Path:
    """Return where the catalogue of *language* is."""
    return PACKAGE / "locale" / language / "LC_MESSAGES" / "django.po"


def read(language: str) -> Catalog:
    """Return the catalogue of *language* as it stands; an empty one if there is none."""
    path = path_of(language)
    if not path.exists():
        return Catalog(locale=language)
    with path.open("rb") as file:
        return read_po(file, locale=language, abort_invalid=True)


def update(language: str) -> bool:
    """Bring the catalogue of *language* up to the package; say whether that changed it.

    What is translated stays, what is new has no translation, what is gone is gone. Nothing is
    guessed from similar texts.
    """
    former = read(language)
    new = _empty(language)
    for message_id, context, places, comments in _merged(said()):
        known = former.get(_first(message_id), context)
        string = known.string if known is not None and known.id == message_id else None
        new.add(
            message_id,
            string,
            locations=[(place, 0) for place in places],
            auto_comments=comments,
            user_comments=known.user_comments if known is not None else (),
            flags=(known.flags & {"fuzzy"}) if known is not None else (),
            context=context,
        )
    path = path_of(language)
    path.parent.mkdir(parents=True, exist_ok=True)
    before = path.read_bytes() if path.exists() else b""
    with path.open("wb") as file:
        write_po(file, new, width=WIDTH, sort_output=True, include_lineno=False)
    return path.read_bytes() != before


def _empty(language: str) -> Catalog:
    return Catalog(
        locale=language,
        project="django_jobflow",
        version="-",
        msgid_bugs_address="-",
        header_comment=HEADER.format(language=language),
        creation_date=BEGAN,
        revision_date=BEGAN,
        last_translator="The django_jobflow authors",
        language_team=language,
        fuzzy=False,
    )


def _merged(messages: list[Said]) -> list[tuple[Any, str | None, list[str], list[str]]]:
    """Return each message once, with its plural if it has one anywhere, and all its places."""
    ids: dict[Key, Any] = {}
    places: dict[Key, list[str]] = defaultdict(list)
    comments: dict[Key, list[str]] = defaultdict(list)
    for each in messages:
        key = _first(each.id), each.context
        if key not in ids or isinstance(each.id, tuple):
            ids[key] = each.id
        places[key].append(each.place)
        comments[key] += each.comments
    return [
        (ids[key], key[1], list(dict.fromkeys(places[key])), list(dict.fromkeys(comments[key])))
        for key in sorted(ids, key=str)
    ]


def _first(message_id: Any) -> str:
    return message_id if isinstance(message_id, str) else str(message_id[0])
