"""The payload log: events are redacted and written in a thread of their own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic_core import PydanticSerializationError

from service.monitoring.bounded_worker import BoundedWorker
from service.monitoring.payloads.cloud_events import Event
from service.monitoring.payloads.redaction import Redaction
from service.monitoring.payloads.sinks import FileSink, HttpSink, Sink, encode, is_address
from service.settings import Settings

_LOG = logging.getLogger(__name__)

_MOST_BATCH_BYTES = 2**20
_MOST_BATCH_EVENTS = 100
_MOST_WAITING_BYTES = 32 * 2**20

CountEvents = Callable[[str, int], None]
"""A callback: (outcome, number of events)."""


class EventLog:
    """A bounded queue of events before a sink.

    Args:
        settings: The destination, and what is redacted.
        count: The callback for events that were ``written``, ``dropped`` for want of room,
            ``failed`` at the destination or in the redaction, or ``withheld`` by the function
            of one's own.
        file_mark: A word that goes into the file's name, where several processes write files.

    Raises:
        ArtifactError: The destination or the redaction cannot be used.
    """

    def __init__(self, settings: Settings, count: CountEvents, file_mark: str = "") -> None:
        self._count = count
        rules, hook = settings.payload_log_redact, settings.payload_log_hook
        self._redaction = Redaction(rules, hook)
        self._worker = BoundedWorker[bytes](
            "payload-log",
            self._write,
            most_items=settings.payload_log_queue,
            most_bytes=_MOST_WAITING_BYTES,
            most_at_once=_MOST_BATCH_EVENTS,
            most_bytes_at_once=_MOST_BATCH_BYTES,
        )
        self._sink = self._open(settings, file_mark)

    def start(self) -> None:
        """Start to write."""
        self._worker.start()

    def add(self, event: Event) -> None:
        """Add an event, redacted, to the queue; if there is no room it is dropped, and counted.

        Called in a thread of the monitor, because redaction may take a while.
        """
        try:
            redacted = self._redaction(event)
            line = None if redacted is None else encode(redacted)
        except PydanticSerializationError as error:
            _LOG.error("an event is no JSON after its redaction, and is not written: %s", error)
            self._count("failed", 1)
            return
        except Exception:
            # The operator's own code may raise anything. What it has not seen is not written.
            _LOG.exception("an event could not be redacted, and is not written")
            self._count("failed", 1)
            return
        if line is None:
            self._count("withheld", 1)
        elif not self._worker.offer(line, len(line)):
            self._count("dropped", 1)

    def wait_until_idle(self, seconds: float) -> bool:
        """Wait until all queued events are written or given up; return whether they are."""
        return self._worker.wait_until_idle(seconds)

    def close(self, seconds: float) -> None:
        """Write what waits, within some time. Idempotent."""
        if not self._worker.close(seconds):
            _LOG.error("the payload log does not finish; its last events are lost")
            return
        self._sink.close()

    def _open(self, settings: Settings, file_mark: str) -> Sink:
        destination = settings.payload_log
        if is_address(destination):
            secret = settings.payload_log_authorization
            authorization = "" if secret is None else secret.get_secret_value()
            return HttpSink(destination, authorization, self._worker.closing)
        path = Path(destination)
        if file_mark:
            path = path.with_name(f"{path.stem}.{file_mark}{path.suffix}")
        return FileSink(path, settings.payload_log_file_bytes, settings.payload_log_files_kept)

    def _write(self, lines: Sequence[bytes]) -> None:
        written = 0
        try:
            written = self._sink.write(lines)
        finally:
            self._count("written", written)
            self._count("failed", len(lines) - written)
