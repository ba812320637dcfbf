"""What is over its limit, and until when not to ask for it."""

from __future__ import annotations

import time
from collections.abc import Mapping


class Shutters:
    """Names that have nothing to give for some time."""

    def __init__(self) -> None:
        self._full_until: dict[str, float] = {}
        self._opens_at: dict[str, float] = {}

    def shut(self, full: Mapping[str, float], out_of_tokens: Mapping[str, float]) -> None:
        """Do not ask for so many seconds: all places are taken, or there is no token."""
        now = time.monotonic()
        self._full_until |= {name: now + pause for name, pause in full.items()}
        self._opens_at |= {name: now + pause for name, pause in out_of_tokens.items()}

    def shut_names(self, now: float) -> set[str]:
        """Return the names not to ask for."""
        both = (self._full_until, self._opens_at)
        return {name for shut in both for name, until in shut.items() if until > now}

    def is_shut(self, name: str, now: float) -> bool:
        """Say whether not to ask for *name*."""
        return max(self._full_until.get(name, 0.0), self._opens_at.get(name, 0.0)) > now

    def opens_in(self) -> float | None:
        """Return after how many seconds there is a token of some name; None means never."""
        now = time.monotonic()
        self._opens_at = {name: at for name, at in self._opens_at.items() if at > now}
        return min(self._opens_at.values()) - now if self._opens_at else None

    def open(self, name: str) -> None:
        """Take in that a place of *name* is free."""
        self._full_until.pop(name, None)

    def open_full(self) -> None:
        """Take in that places of any name may be free."""
        self._full_until.clear()

    def clear(self) -> None:
        """Forget everything: other limits are in force."""
        self._full_until.clear()
        self._opens_at.clear()
