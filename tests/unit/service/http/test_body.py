from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest
from starlette.requests import Request

from omnivec2.errors import (
    DeadlineExceededError,
    InvalidInputError,
    OverloadedError,
    TooLargeError,
    UnsupportedMediaTypeError,
)
from service.admission.admission_control import AdmissionControl
from service.http.body import Body
from tests.support.service_parts.service_fakes import letters_spec


class Stream:
    """Body chunks as an ASGI server hands them over; counts what was taken."""

    def __init__(self, chunks: Sequence[bytes | None]) -> None:
        self.chunks = list(chunks)
        self.taken = 0

    async def __call__(self) -> dict[str, object]:
        self.taken += 1
        chunk = self.chunks.pop(0)
        if chunk is None:
            await asyncio.sleep(10)
        if chunk == b"<gone>":
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": chunk, "more_body": bool(self.chunks)}


def read(
    stream: Stream,
    headers: Mapping[str, str] | None = None,
    *,
    limit: int = 10,
    timeout_seconds: float = 5,
    max_bytes: int = 100,
) -> bytes:
    raw = [(k.lower().encode(), v.encode()) for k, v in (headers or {}).items()]
    request = Request({"type": "http", "headers": raw}, stream)

    async def main() -> bytes:
        with AdmissionControl(1, max_bytes).admit([letters_spec()], "file", None, 30) as ticket:
            return await Body(request, ticket, timeout_seconds).read(limit)

    return asyncio.run(main())


def test_chunks_are_joined() -> None:
    assert read(Stream([b"ab", b"cd"])) == b"abcd"


def test_a_body_that_says_it_is_too_long_is_refused_unread() -> None:
    stream = Stream([b"x"])
    with pytest.raises(TooLargeError):
        read(stream, {"Content-Length": "11"})
    assert stream.taken == 0


@pytest.mark.parametrize("length", ["9" * 5000, "-1", "ten", "1e3"])
def test_an_invalid_content_length_is_refused(length: str) -> None:
    with pytest.raises((TooLargeError, InvalidInputError)):
        read(Stream([b"x"]), {"Content-Length": length})


def test_a_body_of_unknown_length_is_read_no_further_than_the_limit() -> None:
    stream = Stream([b"12345"] * 100)
    with pytest.raises(TooLargeError):
        read(stream)
    assert stream.taken == 3


def test_bytes_over_the_memory_of_the_service_are_refused() -> None:
    with pytest.raises(OverloadedError):
        read(Stream([b"12345", b"67"]), max_bytes=6)


def test_a_body_that_does_not_arrive_in_time_is_refused() -> None:
    with pytest.raises(DeadlineExceededError):
        read(Stream([b"1", None]), timeout_seconds=0.05)


def test_a_client_that_breaks_off_is_not_a_failure_of_the_service() -> None:
    with pytest.raises(InvalidInputError):
        read(Stream([b"1", b"<gone>"]))


def test_a_compressed_body_is_refused() -> None:
    with pytest.raises(UnsupportedMediaTypeError, match="gzip"):
        read(Stream([b"x"]), {"Content-Encoding": "gzip"})


def test_a_body_in_one_piece_is_not_copied() -> None:
    whole = b"x" * 100
    assert read(Stream([whole, b""]), limit=100) is whole
