"""The body of a request, read no further than its limit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import Protocol

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request

from omnivec2.errors import (
    DeadlineExceededError,
    InvalidInputError,
    OverloadedError,
    TooLargeError,
    UnsupportedMediaTypeError,
)
from service.admission.arriving_bodies import ArrivingBody
from service.http.raw_headers import header_text


class BodySource(Protocol):
    """A body that can be read once, no further than a limit."""

    async def read(self, limit: int) -> bytes:
        """Return the whole body; see ``Body.read``."""

    def chunks(self, limit: int) -> AsyncGenerator[bytes, None]:
        """Yield the body piece by piece; see ``Body.chunks``."""


class ByteHolder(Protocol):
    """Whoever accounts for the bytes of a body while it arrives; the ticket of a request."""

    @property
    def arrival(self) -> ArrivingBody:
        """The state of the body on its way."""

    def hold_bytes(self, count: int) -> None:
        """Account for more bytes."""


class Body:
    """A request's body, limited in bytes and in time.

    Args:
        request: The request; nothing of its body has been read.
        ticket: The ticket that accounts for the bytes while they are held.
        timeout_seconds: The time in which the whole body must arrive.

    Raises:
        UnsupportedMediaTypeError: The body is compressed.
    """

    def __init__(self, request: Request, ticket: ByteHolder, timeout_seconds: float) -> None:
        encoding = (header_text(request.scope, b"content-encoding") or "identity").strip().lower()
        if encoding not in ("", "identity"):
            raise UnsupportedMediaTypeError(
                f"bodies are taken as they are, not with Content-Encoding: {encoding}",
                field="Content-Encoding",
                known=["identity"],
            )
        self._request = request
        self._ticket = ticket
        self._timeout_seconds = timeout_seconds
        self._received = 0
        self._is_whole = False

    async def read(self, limit: int) -> bytes:
        """Read the whole body.

        Args:
            limit: The most bytes it may have.

        Raises:
            TooLargeError: It is longer, or declared to be; no more of it is read.
            DeadlineExceededError: It did not arrive in time.
            OverloadedError: Too many bytes are held, or it arrives slowly while others wait.
            InvalidInputError: The client broke off, or its declared length is not a number.
        """
        _check_declared(header_text(self._request.scope, b"content-length"), limit)
        chunks: list[bytes] = []
        with self._failures_named():
            # One timer for the whole body: it is there already in most cases.
            async with asyncio.timeout(self._timeout_seconds) as timer:
                with self._given_up(timer):
                    while not self._is_whole:
                        if chunk := await self._receive(limit):
                            chunks.append(chunk)
        # A body in one piece is not copied.
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def chunks(self, limit: int) -> AsyncGenerator[bytes, None]:
        """Yield the body piece by piece; see ``read``."""
        _check_declared(header_text(self._request.scope, b"content-length"), limit)
        deadline = asyncio.get_running_loop().time() + self._timeout_seconds
        while not self._is_whole:
            with self._failures_named():
                # Around each step, not around the loop: a timeout must not fire in
                # the code that this generator yields to.
                async with asyncio.timeout_at(deadline) as timer:
                    with self._given_up(timer):
                        chunk = await self._receive(limit)
            yield chunk

    async def _receive(self, limit: int) -> bytes:
        """Return the next piece, which may be empty, and account for it."""
        message = await self._request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        self._is_whole = not message.get("more_body", False)
        chunk: bytes = message.get("body", b"")
        self._received += len(chunk)
        if self._received > limit:
            raise _too_large(limit)
        self._ticket.hold_bytes(len(chunk))
        self._request.state.received_bytes = self._received
        return chunk

    @contextmanager
    def _given_up(self, timer: asyncio.Timeout) -> Iterator[None]:
        """Let the timer of a block run out as soon as the body is given up."""
        arrival = self._ticket.arrival
        if arrival.is_given_up:
            raise TimeoutError
        arrival.on_give_up = lambda: timer.reschedule(0.0)
        try:
            yield
        finally:
            arrival.on_give_up = None

    @contextmanager
    def _failures_named(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError as error:
            if self._ticket.arrival.is_given_up:
                message = "the body arrives too slowly while others wait"
                raise OverloadedError(message, reason="slow") from error
            message = f"the body did not arrive within {self._timeout_seconds:g} s"
            raise DeadlineExceededError(message) from error
        except ClientDisconnect as error:
            raise InvalidInputError("the connection was closed within the body") from error


def declared_length(headers: Headers) -> int | None:
    """Return the value of ``Content-Length`` if it is a plausible number, else None."""
    return parse_length(headers.get("content-length", ""))


def parse_length(length: str) -> int | None:
    """Return a length in bytes as a number if it is a plausible one, else None."""
    return int(length) if length.isascii() and length.isdigit() and len(length) < 16 else None


def _check_declared(length: str | None, limit: int) -> None:
    if length is None:
        return
    if not (length.isascii() and length.isdigit()):
        raise InvalidInputError("expected a number", field="Content-Length")
    # A length of twenty digits is too large without being turned into a number.
    if len(length) > len(str(limit)) + 1 or int(length) > limit:
        raise _too_large(limit)


def _too_large(limit: int) -> TooLargeError:
    return TooLargeError(f"the body is larger than {limit:,} bytes", field="body")
