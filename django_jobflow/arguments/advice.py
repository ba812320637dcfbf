"""What to do instead of passing an object that cannot be stored."""

from __future__ import annotations

from collections import deque
from collections.abc import ItemsView, KeysView, ValuesView
from types import GeneratorType

from django.utils.functional import Promise

from django_jobflow.arguments.refusal import Refusal, shown

PLAIN_CONTAINERS = (list, dict, tuple, set, frozenset)
LISTABLE = (GeneratorType, range, map, filter, zip, deque, KeysView, ValuesView, ItemsView)


def foreign(value: object) -> Refusal:
    """Return the refusal of an object of a type that is not stored."""
    from django.db.models import QuerySet

    kind = type(value)
    if issubclass(kind, Promise):
        return Refusal(f"a lazy text ({kind.__name__})", advice="Call str() on it.")
    if issubclass(kind, QuerySet):
        return Refusal(shown(value), advice="Pass a list of its keys.")
    if issubclass(kind, LISTABLE):
        return Refusal(shown(value), advice="Turn it into a list.")
    for plain in PLAIN_CONTAINERS:
        if issubclass(kind, plain) and kind is not plain:
            why = f"is more than a plain {plain.__name__}"
            return Refusal(shown(value), why=why, advice=f"Turn it into a {plain.__name__}.")
    return Refusal(shown(value))
