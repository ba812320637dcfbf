"""One log line an event: a word, then its fields, in the text and on the record."""

from __future__ import annotations

import logging
from typing import Any

_PREFIX = "job_"  # keeps extra fields clear of the attributes that a LogRecord has


def log(logger: logging.Logger, level: int, event: str, /, **fields: Any) -> None:
    """Write *event* with *fields*; costs one look when the level is off.

    The line reads ``event field=value ...``. The log record carries ``event`` and each
    field as an attribute, named ``job_<field>`` unless it starts with ``job``.
    """
    if not logger.isEnabledFor(level):
        return
    error = fields.pop("exc_info", None)
    text = " ".join([event, *(f"{key}={_shown(value)}" for key, value in fields.items())])
    extra = {key if key.startswith("job") else _PREFIX + key: v for key, v in fields.items()}
    # The text goes in as an argument: a field may hold a percent sign.
    logger.log(level, "%s", text, extra={"event": event, **extra}, exc_info=error)


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value).replace("\n", "\\n")
    return repr(text) if " " in text or not text else text
