"""The access log of both transports: one line per request with caller, model, status and time.

Never the content of a request.
"""

from __future__ import annotations

import logging
from typing import Any

LOGGER = "omnivec2.access"

_LOG = logging.getLogger(LOGGER)


def is_enabled(level: int) -> bool:
    """Whether a line of this level would be written."""
    return _LOG.isEnabledFor(level)


def log_request(level: int, protocol: str, **fields: Any) -> None:
    """Write a line: text for people, and fields for JSON logs."""
    if not _LOG.isEnabledFor(level):
        return
    text = " ".join([f"{k}={v}" for k, v in fields.items() if v != "" and k != "request_id"])
    # A record of one's own: Logger.log would search the stack for the line that calls it.
    record = _LOG.makeRecord(
        LOGGER,
        level,
        __file__,
        0,
        "%s %s",
        (protocol, text),
        None,
        "log_request",
        {"protocol": protocol, **fields},
    )
    _LOG.handle(record)
