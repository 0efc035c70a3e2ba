"""What a connection does with heads that are too long, or that never end; without a socket."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from service.server.limited_protocol import LimitedProtocol, protocol_with_limits

LONGEST = 200
SECONDS = 0.05
HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n"
REQUEST = HEAD + b"\r\n"
SKIPPED = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"


class MemoryTransport(asyncio.Transport):
    """Keeps what is written; closed by the protocol, or not."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """Answer every request at once, without reading its body; ``/slow`` takes its time."""
    if scope["path"] == "/slow":
        await asyncio.sleep(3 * SECONDS)
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
    )
    await send({"type": "http.response.body", "body": b"ok"})


Steps = Callable[[LimitedProtocol, MemoryTransport], Awaitable[None]]


def converse(steps: Steps) -> MemoryTransport:
    """Run the steps on a new connection and return its transport as they left it."""

    async def main() -> MemoryTransport:
        config = uvicorn.Config(answer, lifespan="off", log_config=None, access_log=False)
        config.load()
        protocol = protocol_with_limits(LONGEST, SECONDS)(config, ServerState(), {})
        transport = MemoryTransport()
        protocol.connection_made(transport)
        await steps(protocol, transport)
        ended = copy.copy(transport)
        protocol.connection_lost(None)  # uvicorn closes the transport here
        return ended

    return asyncio.run(main())


def send(chunks: Iterable[bytes], wait_seconds: float = 0.0) -> MemoryTransport:
    """Send the chunks one after the other, then wait."""

    async def steps(protocol: LimitedProtocol, transport: MemoryTransport) -> None:
        for chunk in chunks:
            protocol.data_received(chunk)
            await asyncio.sleep(0.005)
        await asyncio.sleep(wait_seconds)

    return converse(steps)


def test_a_request_within_the_limits_is_answered_and_its_connection_kept() -> None:
    transport = send([REQUEST])
    assert transport.written.startswith(b"HTTP/1.1 200")
    assert not transport.closed


def test_a_complete_head_that_is_too_long_is_answered_with_431_and_closed() -> None:
    transport = send([HEAD + b"X-Long: " + b"x" * LONGEST + b"\r\n\r\n"])
    head, _, body = transport.written.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 431 ")
    assert b"connection: close" in head
    assert json.loads(body)["status"] == 431
    assert f"content-length: {len(body)}".encode() in head
    assert transport.closed


def test_a_path_counts_as_part_of_the_head() -> None:
    transport = send([b"GET /" + b"x" * LONGEST + b" HTTP/1.1\r\nHost: x\r\n\r\n"])
    assert b" 431 " in transport.written
    assert transport.closed


def test_a_head_that_does_not_end_is_refused_once_it_is_too_long() -> None:
    transport = send([HEAD, b"X-Long: " + b"x" * LONGEST])
    assert b" 431 " in transport.written
    assert transport.closed


def test_what_arrives_after_a_refusal_is_not_answered() -> None:
    transport = send([b"GET /" + b"x" * LONGEST, REQUEST, b"nonsense\r\n\r\n"])
    assert transport.written.count(b"HTTP/1.1") == 1


def test_a_long_body_is_no_long_head() -> None:
    body = b"x" * 10 * LONGEST
    head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    transport = send([head, body, REQUEST])
    assert transport.written.count(b"HTTP/1.1 200") == 2
    assert not transport.closed


def test_many_requests_on_a_connection_do_not_add_up_to_a_long_head() -> None:
    transport = send([REQUEST] * 20)
    assert transport.written.count(b"HTTP/1.1 200") == 20
    assert not transport.closed


def test_bytes_that_are_no_http_are_answered_with_400_and_closed() -> None:
    transport = send([b"nonsense\r\n\r\n"])
    assert transport.written.startswith(b"HTTP/1.1 400")
    assert transport.closed


def test_a_connection_on_which_nothing_arrives_is_closed() -> None:
    transport = send([], wait_seconds=2 * SECONDS)
    assert transport.closed
    assert transport.written == b""


def test_a_head_that_trickles_in_gets_no_more_time() -> None:
    transport = send([HEAD, *[b"X-A: b\r\n"] * 12], wait_seconds=SECONDS)
    assert transport.closed


def test_a_second_head_that_does_not_arrive_is_given_the_same_time() -> None:
    transport = send([REQUEST, b"GET /hea"], wait_seconds=2 * SECONDS)
    assert transport.written.count(b"HTTP/1.1 200") == 1
    assert transport.closed


def test_a_skipped_body_that_does_not_end_closes_the_connection() -> None:
    transport = send([SKIPPED, b"x"], wait_seconds=2 * SECONDS)
    assert transport.written.startswith(b"HTTP/1.1 200")
    assert transport.closed


def test_a_kept_connection_on_which_nothing_was_begun_is_left_to_the_keep_alive_timer() -> None:
    transport = send([REQUEST], wait_seconds=2 * SECONDS)
    assert not transport.closed


def test_a_slow_answer_is_no_slow_head() -> None:
    transport = send([b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"], wait_seconds=5 * SECONDS)
    assert transport.written.startswith(b"HTTP/1.1 200")
    assert not transport.closed


def test_a_pipelined_head_may_wait_for_the_answer_before_it() -> None:
    transport = send([b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n", HEAD], wait_seconds=2 * SECONDS)
    assert not transport.closed


def test_a_lost_connection_leaves_no_timer_behind() -> None:
    async def steps(protocol: LimitedProtocol, transport: MemoryTransport) -> None:
        protocol.connection_lost(ConnectionResetError())
        await asyncio.sleep(2 * SECONDS)
        assert not transport.closed

    converse(steps)


# --- what is written ----------------------------------------------------------------------


class CountingTransport(MemoryTransport):
    """Keeps what is written, piece by piece."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        super().write(data)
        self.pieces.append(bytes(data))


def pieces_of(app: Any, request: bytes = REQUEST) -> list[bytes]:
    """Return what a connection writes while ``app`` answers one request."""

    async def main() -> list[bytes]:
        config = uvicorn.Config(app, lifespan="off", log_config=None, access_log=False)
        config.load()
        protocol = protocol_with_limits(LONGEST, SECONDS)(config, ServerState(), {})
        transport = CountingTransport()
        protocol.connection_made(transport)
        protocol.data_received(request)
        while protocol.tasks:
            await asyncio.wait(protocol.tasks)
            await asyncio.sleep(0)
        protocol.connection_lost(None)
        return transport.pieces

    return asyncio.run(main())


def test_the_head_and_the_body_of_an_answer_are_written_in_one_piece() -> None:
    (piece,) = pieces_of(answer)
    assert piece.startswith(b"HTTP/1.1 200 ")
    assert piece.endswith(b"\r\n\r\nok")


def test_a_head_goes_out_at_once_if_its_body_takes_time() -> None:
    async def streaming(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await asyncio.sleep(0.01)
        await send({"type": "http.response.body", "body": b"o", "more_body": True})
        await send({"type": "http.response.body", "body": b"k"})

    head, *body = pieces_of(streaming)
    assert head.endswith(b"\r\n\r\n")
    assert body == [b"o", b"k"]


def test_an_answer_without_a_body_is_written() -> None:
    async def empty(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    assert b"".join(pieces_of(empty)).startswith(b"HTTP/1.1 204 ")


def test_a_client_that_waits_for_100_continue_gets_it_before_the_answer() -> None:
    async def reading(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await answer(scope, receive, send)

    request = b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi"
    written = b"".join(pieces_of(reading, request))
    assert written.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 ")


def test_a_failure_after_the_head_closes_the_connection_once_the_head_is_written() -> None:
    async def failing(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        raise ZeroDivisionError

    (head,) = pieces_of(failing)
    assert head.endswith(b"\r\n\r\n")
