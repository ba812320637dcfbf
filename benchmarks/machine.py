"""What has to be known of the machine to read the figures; never its name."""

from __future__ import annotations

import os
import platform
import re
import time
from pathlib import Path
from statistics import median
from typing import Any

WRITES = 200


def facts(folder: Path) -> dict[str, Any]:
    """Return the facts; *folder* lies on the disk that the databases are on."""
    memory = int(_found("/proc/meminfo", r"^MemTotal: +(\d+) kB"))  # KiB
    return {
        "processor": _found("/proc/cpuinfo", r"^model name\s*: (.*)$"),
        "cores": len(os.sched_getaffinity(0)),
        "memory": f"{memory / 1024**2:.0f} GiB",
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "file system": _file_system(folder),
        "flush of one write to disk": f"{_flush(folder) * 1000:.2f} ms",
        "Python": platform.python_version(),
    }


def _found(path: str, pattern: str) -> str:
    found = re.search(pattern, Path(path).read_text(), re.MULTILINE)
    return found[1] if found else "0"


def _file_system(folder: Path) -> str:
    """Return the type of the file system that holds *folder*."""
    best, kind = "", "unknown"
    for line in Path("/proc/mounts").read_text().splitlines():
        _, place, found, *_ = line.split()
        if folder.resolve().is_relative_to(place) and len(place) > len(best):
            best, kind = place, found
    return kind


def _flush(folder: Path) -> float:
    """Return the seconds that a write of a page and its flush take."""
    times = []
    path = folder / "flush"
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY)
    os.write(descriptor, bytes(8192 * WRITES))
    os.fsync(descriptor)
    for number in range(WRITES):
        began = time.perf_counter()
        os.pwrite(descriptor, b"x" * 8192, number * 8192)
        os.fdatasync(descriptor)
        times.append(time.perf_counter() - began)
    os.close(descriptor)
    path.unlink()
    return median(times)
