"""The diagram of the states, drawn from the table of transitions as one SVG.

A verb that starts from all states of a group leaves from the group's frame, and likewise
for its targets, so that few arrows say what the table says in many rows. Places and routes
are laid out by hand; a move that has no route here is drawn as a straight line.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from html import escape
from typing import NamedTuple

from django_jobflow import states
from django_jobflow.states import JobState as S

Point = tuple[float, float]

START = "START"
SUCCEEDED = "SUCCEEDED"

GROUPS = {
    "UNFINISHED": states.UNFINISHED,
    "PENDING": states.PENDING,
    "READY": states.DUE,
    "HELD": states.HELD,
    "ENDED": states.ENDED,
}


class Box(NamedTuple):
    """A rectangle by its upper left corner and its size."""

    x: float
    y: float
    width: float
    height: float

    @property
    def centre(self) -> Point:
        return self.x + self.width / 2, self.y + self.height / 2

    def towards(self, point: Point) -> Point:
        """Return where the line from the centre to *point* leaves the box."""
        (cx, cy), (px, py) = self.centre, point
        dx, dy = px - cx, py - cy
        scale = min(
            self.width / 2 / abs(dx) if dx else float("inf"),
            self.height / 2 / abs(dy) if dy else float("inf"),
        )
        return cx + dx * scale, cy + dy * scale


BOXES = {
    "UNFINISHED": Box(50, 62, 740, 348),
    "PENDING": Box(90, 92, 150, 250),
    "READY": Box(345, 92, 150, 250),
    "HELD": Box(600, 92, 150, 250),
    "ENDED": Box(325, 446, 445, 84),
    START: Box(30, 16, 24, 24),
    S.SCHEDULED: Box(105, 122, 120, 40),
    S.RETRY: Box(105, 282, 120, 40),
    S.AVAILABLE: Box(360, 122, 120, 40),
    S.WAITING: Box(360, 282, 120, 40),
    S.RESERVED: Box(615, 122, 120, 40),
    S.IN_PROGRESS: Box(615, 282, 120, 40),
    SUCCEEDED: Box(812, 282, 112, 40),
    S.CANCELLED: Box(360, 472, 120, 40),
    S.FAILED: Box(615, 472, 120, 40),
}

# The points of an arrow, and where its label stands.
ROUTES: dict[tuple[str, str], tuple[list[Point], Point]] = {
    (START, S.SCHEDULED): ([(42, 40), (42, 142), (105, 142)], (74, 54)),
    (START, "READY"): ([(54, 28), (370, 28), (370, 92)], (212, 20)),
    (S.SCHEDULED, "READY"): ([(225, 134), (345, 134)], (292, 126)),
    ("READY", S.SCHEDULED): ([(345, 152), (225, 152)], (292, 166)),
    ("PENDING", S.SCHEDULED): ([(112, 282), (112, 162)], (154, 264)),
    ("PENDING", "READY"): ([(240, 217), (345, 217)], (292, 193)),
    (S.WAITING, S.AVAILABLE): ([(425, 282), (425, 162)], (459, 220)),
    (S.AVAILABLE, S.WAITING): ([(392, 162), (392, 282)], (371, 226)),
    (S.WAITING, S.IN_PROGRESS): ([(480, 302), (615, 302)], (548, 295)),
    (S.AVAILABLE, S.RESERVED): ([(480, 134), (615, 134)], (548, 126)),
    (S.RESERVED, S.IN_PROGRESS): ([(675, 162), (675, 282)], (698, 226)),
    ("HELD", S.AVAILABLE): ([(600, 217), (545, 217), (545, 152), (480, 152)], (546, 233)),
    (S.RESERVED, S.SCHEDULED): ([(675, 122), (675, 76), (165, 76), (165, 122)], (548, 70)),
    (S.RESERVED, S.FAILED): ([(735, 142), (938, 142), (938, 492), (735, 492)], (855, 134)),
    (S.IN_PROGRESS, SUCCEEDED): ([(735, 302), (812, 302)], (763, 295)),
    (S.IN_PROGRESS, S.RETRY): ([(640, 322), (640, 364), (165, 364), (165, 322)], (548, 358)),
    (S.IN_PROGRESS, S.SCHEDULED): (
        [(655, 322), (655, 388), (70, 388), (70, 152), (105, 152)],
        (548, 382),
    ),
    ("PENDING", S.FAILED): (
        [(200, 342), (200, 425), (590, 425), (590, 482), (615, 482)],
        (252, 420),
    ),
    ("READY", S.FAILED): ([(470, 342), (470, 400), (640, 400), (640, 472)], (502, 397)),
    (S.IN_PROGRESS, S.FAILED): ([(690, 322), (690, 472)], (724, 372)),
    ("UNFINISHED", S.CANCELLED): ([(445, 410), (445, 472)], (470, 432)),
    ("ENDED", "READY"): ([(375, 446), (375, 342)], (353, 432)),
}
# What a frame is called, and where.
CAPTIONS: dict[str, tuple[str, Point]] = {
    "PENDING": ("due later", (165, 226)),
    "READY": ("due", (366, 110)),
    "HELD": ("held", (640, 226)),
    "ENDED": ("ended", (547, 497)),
}


def edges() -> dict[tuple[str, str], list[str]]:
    """Return the verbs of each arrow, by the places that it leads from and to."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for move in states.TRANSITIONS.values():
        for source in places(move.origins) or [START]:
            for target in places(move.targets) or [SUCCEEDED]:
                if source != target:
                    found[source, target].append(move.verb)
    return dict(found)


def places(some: Iterable[S]) -> list[str]:
    """Return the fewest groups and states that are just *some*."""
    left = set(some)
    found: list[str] = []
    for name, members in sorted(GROUPS.items(), key=lambda group: -len(group[1])):
        if members <= left:
            found.append(name)
            left -= members
    return found + [state.value for state in S if state in left]


def svg() -> str:
    """Return the diagram."""
    parts = [_frame(name) for name in GROUPS]
    parts += [_arrow(*ends, verbs) for ends, verbs in edges().items()]
    parts += [_state(state) for state in S]
    parts += [_start(), _box(SUCCEEDED, "SucceededJob", "jf-box jf-succeeded")]
    return (
        '<svg class="jobflow-states" viewBox="20 6 924 530" role="img" '
        'aria-labelledby="jf-title jf-desc" xmlns="http://www.w3.org/2000/svg">'
        '<title id="jf-title">The states of a record and the moves between them</title>'
        '<desc id="jf-desc">The table of moves says the same in words.</desc>'
        '<defs><marker id="jf-head" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="8" '
        'markerHeight="8" orient="auto"><path d="M0 0 L8 4 L0 8 z"/></marker></defs>'
        f"{''.join(parts)}</svg>"
    )


def _frame(name: str) -> str:
    x, y, width, height = BOXES[name]
    text, at = CAPTIONS.get(name, ("", (x, y)))
    return (
        f'<rect class="jf-frame jf-{name.lower()}" x="{x}" y="{y}" width="{width}" '
        f'height="{height}" rx="10"/>'
        f'<text class="jf-group" x="{at[0]}" y="{at[1]}">{text}</text>'
    )


def _box(place: str, text: str, kind: str) -> str:
    x, y, width, height = BOXES[place]
    return (
        f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{height}" rx="6"/>'
        f'<text class="jf-name" x="{x + width / 2}" y="{y + height / 2 + 5}">{text}</text>'
    )


def _state(state: S) -> str:
    return f'<g data-state="{state.value}">{_box(state.value, state.value, "jf-box")}</g>'


def _start() -> str:
    (x, y), radius = BOXES[START].centre, BOXES[START].width / 2
    return f'<circle class="jf-start" cx="{x}" cy="{y}" r="{radius}"/>'


def _arrow(source: str, target: str, verbs: list[str]) -> str:
    points, (x, y) = ROUTES.get((source, target)) or _straight(source, target)
    path = " ".join(f"{px:g},{py:g}" for px, py in points)
    lines = "".join(
        f'<tspan x="{x:g}" dy="{0 if number == 0 else 14}">{escape(verb)}</tspan>'
        for number, verb in enumerate(verbs)
    )
    return (
        f'<g data-from="{source}" data-to="{target}" data-verbs="{" ".join(verbs)}">'
        f'<polyline class="jf-arrow" points="{path}" marker-end="url(#jf-head)"/>'
        f'<text class="jf-verb" x="{x:g}" y="{y:g}">{lines}</text></g>'
    )


def _straight(source: str, target: str) -> tuple[list[Point], Point]:
    begin = BOXES[source].towards(BOXES[target].centre)
    end = BOXES[target].towards(BOXES[source].centre)
    return [begin, end], ((begin[0] + end[0]) / 2, (begin[1] + end[1]) / 2 - 6)
