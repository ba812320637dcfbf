"""What stands in the place of a value that is not to be seen."""

from __future__ import annotations

from collections.abc import Callable

DOTS = "\N{BULLET}" * 6  # however long the value is: its length would say something

Hides = Callable[[int | str], bool]
"""Says whether the argument at a position, or of a name, is not to be seen."""


class Hidden:
    """What stands in the place of a value; shown as dots."""

    def __repr__(self) -> str:
        return DOTS


HIDDEN = Hidden()


def hides_nothing(key: int | str) -> bool:
    """Say of every argument that it may be seen."""
    return False
