"""A file that tells a container's probe by its age whether work can go on."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from django_jobflow import events

logger = logging.getLogger("django_jobflow.worker")

PAUSE = 1.0  # seconds between two touches


class HeartbeatFile:
    """Touches *path*, at most once a second.

    A disk that is full, or a folder that is gone, is the probe's to find out: it is said once,
    and costs no job.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._touched_at = 0.0
        self._said = False

    def touch(self) -> None:
        """Say that all is well now."""
        now = time.monotonic()
        if now - self._touched_at < PAUSE:
            return
        self._touched_at = now
        try:
            self.path.touch()
        except OSError as error:
            if not self._said:
                self._said = True
                events.log(
                    logger,
                    logging.ERROR,
                    "heartbeat_file_failed",
                    path=self.path,
                    error=repr(error),
                )

    def remove(self) -> None:
        """Leave no file behind that would look like a worker's."""
        try:
            self.path.unlink(missing_ok=True)
        except OSError:  # the folder is gone; that was said
            return
