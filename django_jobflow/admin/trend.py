"""Counts over time as a small picture: bars, each as high as its share of the highest."""

from __future__ import annotations

from collections.abc import Sequence

from django.template.loader import render_to_string
from django.utils.safestring import SafeString

STEP = 4  # units from one bar to the next
HEIGHT = 24  # units of the highest bar


def trend(counts: Sequence[int], label: str, kind: str = "") -> SafeString:
    """Return a picture of *counts*, the latest last; *label* says the same in words.

    Where there is nothing, only the line at the foot is seen.
    """
    highest = max(counts, default=0) or 1
    bars = [
        {
            "x": str(place * STEP),
            "y": str(HEIGHT - _height(count, highest)),
            "height": str(_height(count, highest)),
        }
        for place, count in enumerate(counts)
        if count
    ]
    context = {
        "bars": bars,
        "bar_width": str(STEP - 1),
        "width": str(len(counts) * STEP),
        "height": str(HEIGHT),
        "label": label,
        "kind": kind,
    }
    return render_to_string("jobflow/_trend.html", context)


def _height(count: int, highest: int) -> int:
    """Return the height of a bar: two units or more, so that one failure is seen."""
    return max(count * HEIGHT // highest, 2)
