"""Counts over time as a small picture: bars, each as high as its share of the highest."""

from __future__ import annotations

from collections.abc import Sequence

from django.template.loader import render_to_string
from django.utils.safestring import SafeString

STEP = 4  # units from one bar to the next
HEIGHT = 24  # units of the highest bar


def trend(counts: Sequence[int], label: str, kind: str = "") -> SafeString:
    """Return a picture of *counts*, the latest last; *label* says the same in words."""
    highest = max(counts, default=0) or 1
    bars = [
        {"x": str(place * STEP), "y": str(HEIGHT - high), "height": str(high)}
        for place, high in enumerate(_height(count, highest) for count in counts)
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
    """Return the height of a bar: one unit where there is nothing, two or more else."""
    return max(count * HEIGHT // highest, 2) if count else 1
