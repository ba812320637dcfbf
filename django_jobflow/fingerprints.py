"""What failures of one kind have in common: the class, the place, and the message's form."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

READ = 500  # characters of a message that tell its form
FORM_LIMIT = 300  # characters of a form that are kept

QUOTED = re.compile(r"""(?<!\w)(?:'[^'\n]*'|"[^"\n]*"|`[^`\n]*`)(?!\w)""")
UUID = re.compile(r"\b[0-9a-f]{8}(?:-?[0-9a-f]{4}){3}-?[0-9a-f]{12}\b", re.IGNORECASE)
NUMBERED = re.compile(r"\w*\d\w*")
SERIES = re.compile(r"#(?:[\s,.;:/+-]+#)+")


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """One kind of failure.

    Attributes:
        digest: 32 letters that stand for the others.
        exception: Dotted path of the exception's class.
        place: Module and function in the project's code; may be empty.
        message: The form of the message.
    """

    digest: str
    exception: str
    place: str
    message: str


def fingerprint(exception: str, place: str, message: str) -> Fingerprint:
    """Return the kind of the failures with this *exception* here and with such a *message*."""
    told = form(message)
    text = "\0".join((exception, place, told))
    digest = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    return Fingerprint(digest, exception, place, told)


def form(message: str) -> str:
    """Return *message* without what differs from one failure to the next.

    Quoted values become ``'…'``; words with a digit in them, series of such words and UUIDs
    become ``#``.
    """
    text = " ".join(message[:READ].split())
    text = QUOTED.sub("'…'", text)
    text = NUMBERED.sub("#", UUID.sub("#", text))
    return SERIES.sub("#", text)[:FORM_LIMIT]
