"""The form that stored arguments have: plain JSON, and tagged objects for the rest."""

from __future__ import annotations

import json
from typing import Any, TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

TAG = "$jobflow"

# Levels of lists and objects, the outermost included. MariaDB before 12.2 refuses JSON of
# more than 31 levels. Below the deepest container a tag adds up to three, and that of a
# model instance up to seven: two of its own, those of its key, and the tags inside the key.
MAX_LEVELS = 22
KEY_LEVELS = 2

dumps = json.JSONEncoder(
    ensure_ascii=True, separators=(",", ":"), allow_nan=False, check_circular=False
).encode


def tagged(kind: str, value: Any) -> Json:
    """Return the object that stands for a value which JSON has no form for."""
    return {TAG: kind, "value": value}
