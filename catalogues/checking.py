"""What is missing or wrong in a catalogue."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from babel.messages.catalog import Catalog, Message

from catalogues.extracting import Said

PLACEHOLDER = re.compile(r"%(?:\([A-Za-z_]\w*\))?[-#0+ ]*\d*(?:\.\d+)?[diouxXeEfFgGcrsa%]|\{\w*\}")


def problems(catalogue: Catalog, messages: Iterable[Said]) -> list[str]:
    """Return in a line each what keeps *catalogue* from having all of *messages* right."""
    wanted = {(_ids(each.id)[0], each.context): _ids(each.id) for each in messages}
    plurals = {
        (_ids(each.id)[0], each.context): _ids(each.id)
        for each in messages
        if not isinstance(each.id, str)
    }
    there = {(_ids(each.id)[0], each.context): each for each in catalogue if each.id}
    found = [f"missing: {key[0]!r}" for key in wanted.keys() - there.keys()]
    found += [f"no longer said: {key[0]!r}" for key in there.keys() - wanted.keys()]
    for key in wanted.keys() & there.keys():
        found += wrong(there[key], (wanted | plurals)[key], catalogue.num_plurals)
    return sorted(found)


def wrong(message: Message, ids: tuple[str, ...], forms: int) -> Iterator[str]:
    """Yield what is wrong with the translation of one message.

    Args:
        ids: Its text, or its singular and its plural, as the package has it.
        forms: How many forms of a plural the language has.
    """
    name = repr(ids[0])
    strings = message.string if isinstance(message.string, tuple | list) else (message.string,)
    if message.fuzzy:
        yield f"fuzzy: {name}"
    if _ids(message.id) != ids:
        yield f"another plural: {name}"
    elif len(strings) != (1 if len(ids) == 1 else forms):
        yield f"{len(strings)} forms instead of {1 if len(ids) == 1 else forms}: {name}"
    if not all(strings):
        yield f"not translated: {name}"
        return
    for string in strings:
        yield from _differences(string, ids, name)


def _differences(string: str, ids: tuple[str, ...], name: str) -> Iterator[str]:
    """Yield how *string* differs from all of *ids* in what is put in, or around it."""
    # A form for one alone may leave out its number, as the singular does in English.
    allowed = [sorted(PLACEHOLDER.findall(each)) for each in ids]
    if sorted(PLACEHOLDER.findall(string)) not in allowed:
        yield f"other placeholders: {name}: {string!r}"
    for end in (0, -1):
        if (string[end] == "\n") != (ids[0][end] == "\n"):
            yield f"another line break at an end: {name}"
    if string[0].isspace() != ids[0][0].isspace():
        yield f"another space at its beginning: {name}"


def _ids(message_id: object) -> tuple[str, ...]:
    return (message_id,) if isinstance(message_id, str) else tuple(message_id)  # type: ignore[arg-type]
