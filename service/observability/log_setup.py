"""Logs of the process: text for people, JSON for log collectors; both name the request."""

from __future__ import annotations

import logging
import time
from typing import Literal

from service.request_context import REQUEST

_TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_NAMED = "%(asctime)s %(levelname)s %(name)s [%(request_id)s]: %(message)s"

_RENAMED = {"asctime": "time", "levelname": "level", "name": "logger"}


def configure(level: str, form: Literal["text", "json"]) -> None:
    """Send logs to standard error; replaces any earlier configuration."""
    # What no format shows need not be looked up for every line.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = logging.StreamHandler()
    handler.addFilter(_name_request)
    handler.setFormatter(_json_formatter() if form == "json" else _TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def _name_request(record: logging.LogRecord) -> bool:
    """Add the id of the request in whose task or thread a line was logged."""
    if not getattr(record, "request_id", ""):
        record.request_id = REQUEST.get().request_id
    return True


class _SecondsFormatter(logging.Formatter):
    """A formatter that writes the time out once a second, not once a line."""

    default_msec_format = ""
    _last = (-1, "")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        second = int(record.created)
        if self._last[0] != second:
            self._last = second, super().formatTime(record, datefmt)
        return f"{self._last[1]},{int(record.msecs):03d}"


class _TextFormatter(_SecondsFormatter):
    def __init__(self) -> None:
        super().__init__(_TEXT)
        self._named = _SecondsFormatter(_NAMED)

    def format(self, record: logging.LogRecord) -> str:
        if getattr(record, "request_id", ""):
            return self._named.format(record)
        return super().format(record)


def _json_formatter() -> logging.Formatter:
    from pythonjsonlogger.json import JsonFormatter

    formatter = JsonFormatter(
        "%(asctime)s %(levelname)s %(name)s %(message)s",
        rename_fields=_RENAMED,
    )
    formatter.converter = time.gmtime
    formatter.default_time_format = "%Y-%m-%dT%H:%M:%S"
    formatter.default_msec_format = "%s.%03dZ"
    return formatter
