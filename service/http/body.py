"""The body of a request, read no further than its limit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request

from omnivec2.errors import (
    DeadlineExceededError,
    InvalidInputError,
    TooLargeError,
    UnsupportedMediaTypeError,
)
from service.admission.admission_control import Ticket


class Body:
    """A request's body, limited in bytes and in time.

    Args:
        request: The request; nothing of its body has been read.
        ticket: The ticket that accounts for the bytes while they are held.
        timeout_seconds: The time in which the whole body must arrive.

    Raises:
        UnsupportedMediaTypeError: The body is compressed.
    """

    def __init__(self, request: Request, ticket: Ticket, timeout_seconds: float) -> None:
        encoding = request.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            raise UnsupportedMediaTypeError(
                f"bodies are taken as they are, not with Content-Encoding: {encoding}",
                field="Content-Encoding",
                known=["identity"],
            )
        self._request = request
        self._ticket = ticket
        self._timeout_seconds = timeout_seconds

    async def read(self, limit: int) -> bytes:
        """Read the whole body.

        Args:
            limit: The most bytes it may have.

        Raises:
            TooLargeError: It is longer, or declared to be; no more of it is read.
            DeadlineExceededError: It did not arrive in time.
            InvalidInputError: The client broke off, or its declared length is not a number.
        """
        return b"".join([chunk async for chunk in self.chunks(limit)])

    async def chunks(self, limit: int) -> AsyncGenerator[bytes, None]:
        """Yield the body piece by piece; see ``read``."""
        _check_declared(self._request.headers.get("content-length"), limit)
        received = 0
        stream = aiter(self._request.stream())
        deadline = asyncio.get_running_loop().time() + self._timeout_seconds
        try:
            while True:
                # Around each step, not around the loop: a timeout must not fire in
                # the code that this generator yields to.
                async with asyncio.timeout_at(deadline):
                    chunk = await anext(stream, None)
                if chunk is None:
                    return
                received += len(chunk)
                if received > limit:
                    raise _too_large(limit)
                self._ticket.hold_bytes(len(chunk))
                self._request.state.received_bytes = received
                yield chunk
        except TimeoutError as error:
            message = f"the body did not arrive within {self._timeout_seconds:g} s"
            raise DeadlineExceededError(message) from error
        except ClientDisconnect as error:
            raise InvalidInputError("the connection was closed within the body") from error


def declared_length(headers: Headers) -> int | None:
    """Return the value of ``Content-Length`` if it is a plausible number, else None."""
    length = headers.get("content-length", "")
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
