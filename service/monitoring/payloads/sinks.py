"""Where events go: a file of lines that is rotated, or an HTTP endpoint that takes batches."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import httpx2
from pydantic_core import to_json

from omnivec2.errors import ArtifactError
from service.monitoring.payloads.cloud_events import BATCH_TYPE

_LOG = logging.getLogger(__name__)

_RETRY_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0)
"""The pauses between the attempts at one batch; after the last, its events are given up."""

_SEND_SECONDS = 10.0
"""The longest time of one attempt."""

_RETRIED = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})
"""Statuses below 500 after which the same batch may be taken."""


class Sink(Protocol):
    """A destination of events; used by one thread."""

    def write(self, events: Sequence[bytes]) -> int:
        """Write events, each a JSON object, and return how many were written."""

    def close(self) -> None:
        """Free what the sink holds."""


class FileSink:
    """A file of one event per line. When it is full it becomes ``<name>.1``, and so on.

    Args:
        path: The file. Its directory must exist; only its owner can read it.
        most_bytes: The size at which it is rotated.
        kept: The number of older files that are kept.

    Raises:
        ArtifactError: It cannot be written.
    """

    def __init__(self, path: Path, most_bytes: int, kept: int) -> None:
        self._path = path
        self._most_bytes = most_bytes
        self._kept = kept
        self._failed = False
        try:
            self._descriptor = self._open()
        except OSError as error:
            raise ArtifactError(
                f"OMNIVEC2_PAYLOAD_LOG: {path} cannot be written ({error.strerror}); expected a "
                "file in a directory that exists, or an http:// or https:// address"
            ) from error

    def write(self, events: Sequence[bytes]) -> int:
        """Append events; see ``Sink.write``."""
        for index, event in enumerate(events):
            try:
                self._append(event + b"\n")
            except OSError as error:
                if not self._failed:
                    _LOG.error("events cannot be written to %s: %s", self._path, error)
                self._failed = True
                return index
            self._failed = False
        return len(events)

    def close(self) -> None:
        """Close the file. Idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def _append(self, line: bytes) -> None:
        if self._descriptor < 0:
            self._descriptor = self._open()
        size = os.fstat(self._descriptor).st_size
        if size and size + len(line) > self._most_bytes:
            self._rotate()
            size = 0
        try:
            written = 0
            while written < len(line):
                written += os.write(self._descriptor, line[written:])
        except OSError:
            with contextlib.suppress(OSError):  # half a line is worse than none
                os.ftruncate(self._descriptor, size)
            raise

    def _rotate(self) -> None:
        self.close()
        names = [self._path, *(Path(f"{self._path}.{n}") for n in range(1, self._kept + 1))]
        if not self._kept:
            self._path.unlink(missing_ok=True)
        for older, newer in zip(names[:0:-1], names[-2::-1], strict=True):
            with contextlib.suppress(FileNotFoundError):
                newer.replace(older)
        self._descriptor = self._open()


class HttpSink:
    """An endpoint that takes batches of events (``application/cloudevents-batch+json``).

    Args:
        url: The address; http or https.
        authorization: The value of the header ``Authorization``; empty for none.
        closing: An event that is set when the service stops: a pause ends then, and one attempt
            more is the last.
        retry_seconds: The pauses between attempts.
    """

    def __init__(
        self,
        url: str,
        authorization: str,
        closing: threading.Event,
        retry_seconds: Sequence[float] = _RETRY_SECONDS,
    ) -> None:
        headers = {"Content-Type": BATCH_TYPE}
        if authorization:
            headers["Authorization"] = authorization
        self._url = url
        self._shown = _without_credentials(url)
        self._client = httpx2.Client(headers=headers, timeout=_SEND_SECONDS)
        self._closing = closing
        self._retry_seconds = retry_seconds

    def write(self, events: Sequence[bytes]) -> int:
        """Send events as one batch; see ``Sink.write``. A batch is taken as a whole, or not."""
        body = b"[" + b",".join(events) + b"]"
        reason = ""
        for pause in (0.0, *self._retry_seconds):
            is_last = bool(pause) and self._closing.wait(pause)
            status, reason = self._send(body)
            if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
                return len(events)
            is_refused = 0 < status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in _RETRIED
            if is_last or is_refused:
                break
        _LOG.error("%d events are given up: %s: %s", len(events), self._shown, reason)
        return 0

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _send(self, body: bytes) -> tuple[int, str]:
        """Send a batch once; return the status, 0 if there was no answer, and it in words."""
        try:
            status = self._client.post(self._url, content=body).status_code
        except httpx2.HTTPError as error:
            return 0, str(error) or type(error).__name__
        words = ", a redirect, which is not followed" if 300 <= status < 400 else ""
        return status, f"status {status}{words}"


def is_address(destination: str) -> bool:
    """Whether a destination is the address of an endpoint, and not a file.

    Raises:
        ArtifactError: It is an address of another scheme, or names no host.
    """
    if "://" not in destination:
        return False
    parts = urlsplit(destination)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ArtifactError(
            f"OMNIVEC2_PAYLOAD_LOG: expected a file, or an address with http:// or https:// and a "
            f"host, got the scheme {parts.scheme!r}"
        )
    return True


def encode(event: object) -> bytes:
    """Return an event as one line of JSON."""
    return to_json(event, inf_nan_mode="null")


def _without_credentials(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
