"""Whose code the frames of a traceback are: the project's own, or that of a library."""

from __future__ import annotations

import re
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

PLACE_LIMIT = 300  # characters of a place that are kept

# A traceback may come from another host, whose paths nobody knows here.
LIBRARY = re.compile(
    r"[/\\](?:site-packages|dist-packages|lib[/\\]python\d[^/\\]*)[/\\]|^<frozen "
)
FRAME = re.compile(r'  File "(.+)", line \d+, in ')
OF_A_FRAME = ("    ", "  [")
HERE = (str(Path(__file__).parent), *map(sysconfig.get_path, ("stdlib", "purelib", "platlib")))


@lru_cache(maxsize=4096)
def is_own(filename: str) -> bool:
    """Say whether a file is the project's own: of no library, and not of this package."""
    return not (filename.startswith(HERE) or LIBRARY.search(filename))


def place_of(error: BaseException) -> str:
    """Return the innermost place of the project's own code in the traceback of *error*.

    Returns:
        Module and function, ``shop.mail:Mailer.send``, without the number of a line, so that it
        outlives an edit above it; empty where no frame is the project's own.
    """
    place, trace = "", error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if is_own(code.co_filename):
            place = f"{trace.tb_frame.f_globals.get('__name__', '?')}:{code.co_qualname}"
        trace = trace.tb_next
    return place[:PLACE_LIMIT]


@dataclass(frozen=True, slots=True)
class Part:
    """Some lines of a traceback.

    Attributes:
        frames: How many frames of libraries these are. 0 is what is worth reading.
    """

    text: str
    frames: int = 0


def parts(trace: str) -> list[Part]:
    """Return *trace* cut where the frames of libraries begin and end."""
    found: list[Part] = []
    lines: list[str] = []
    frames = 0
    for line, is_foreign, begins in _told(trace):
        if lines and is_foreign != bool(frames):
            found.append(Part("\n".join(lines), frames))
            lines, frames = [], 0
        lines.append(line)
        frames += is_foreign and begins
    if lines:
        found.append(Part("\n".join(lines), frames))
    return found


def _told(trace: str) -> Iterator[tuple[str, bool, bool]]:
    """Yield each line, whether it is of a frame of a library, and whether it begins one."""
    is_foreign = False
    for line in trace.rstrip("\n").split("\n"):
        frame = FRAME.match(line)
        if frame:
            is_foreign = not is_own(frame[1])
        elif not line.startswith(OF_A_FRAME):
            is_foreign = False
        yield line, is_foreign, frame is not None
