"""The way of a call's arguments into the database and back.

``bind`` checks the call, ``encode`` makes JSON of it, ``decode`` makes the call again.

What comes back equal and of the same type: None, bool, int, float, str, list, dict, tuple,
set, frozenset, bytes, datetime, date, time, timedelta, Decimal, UUID, Enum members and
saved model instances, nested as one likes. Further:

- A dict comes back equal, but a database may change the order of its keys.
- An aware datetime keeps its ZoneInfo by key, or its UTC offset, of whole seconds and
  without a name.
- Subclasses of str, int, float and the other scalars come back as the plain type.
- A model instance is stored as label, key and database alias, and read from the database
  again by ``decode``: it has the values of that moment, and all of its fields.

Everything else is refused with an ``ArgumentError`` that leads to the value, and so is what
not every database holds: NaN and infinity, a NUL character or a lone surrogate in a text,
and JSON of more than 22 levels, where a tuple or a set takes two and a dict with keys
that are not all texts takes three.
"""

from __future__ import annotations

from django_jobflow.arguments.binding import Shape, bind
from django_jobflow.arguments.decoding import decode
from django_jobflow.arguments.encoding import encode, encode_text
from django_jobflow.arguments.form import TAG, dumps
from django_jobflow.arguments.hiding import DOTS, HIDDEN
from django_jobflow.arguments.results import encode_result

__all__ = [
    "DOTS",
    "HIDDEN",
    "TAG",
    "Shape",
    "bind",
    "decode",
    "dumps",
    "encode",
    "encode_result",
    "encode_text",
]
