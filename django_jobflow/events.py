"""One log line an event: a word, then its fields, in the text and on the record."""

from __future__ import annotations

import logging
import sys
from typing import Any

_PREFIX = "job_"  # keeps extra fields clear of the attributes that a LogRecord has


def log(logger: logging.Logger, level: int, event: str, /, **fields: Any) -> None:
    """Write *event* with *fields*; costs one look when the level is off.

    The line reads ``event field=value ...``. The log record carries ``event`` and each
    field as an attribute, named ``job_<field>`` unless it starts with ``job``.

    Args:
        fields: ``exc_info`` is as for logging; ``exc_text`` is a traceback that is a text
            already. Neither is a field of the line.
    """
    if not logger.isEnabledFor(level):
        return
    error, trace = fields.pop("exc_info", None), fields.pop("exc_text", None)
    text = " ".join([event, *[f"{key}={_shown(value)}" for key, value in fields.items()]])
    # Not through logger.log(), which walks the stack for a place that is always this one, and
    # so takes as long as all the rest of settling a short job. The text goes in as an
    # argument: a field may hold a percent sign.
    record = logging.getLogRecordFactory()(
        logger.name, level, __file__, 0, "%s", (text,), _exc_info(error), "log"
    )
    own = record.__dict__
    own["event"] = event
    if trace:
        own["exc_text"] = trace
    for key, value in fields.items():
        own[key if key.startswith("job") else _PREFIX + key] = value
    logger.handle(record)


def _shown(value: Any) -> str:
    """Return *value* as one word, or quoted: no name or message makes a line or a field."""
    if isinstance(value, float):
        return f"{value:.6g}"
    text = value if isinstance(value, str) else str(value)
    if text.isalnum():
        return text
    if text and " " not in text and text.isprintable() and text[0] not in "'\"":
        return text
    return repr(text)


def _exc_info(error: Any) -> Any:
    if isinstance(error, BaseException):
        return type(error), error, error.__traceback__
    return sys.exc_info() if error else None
