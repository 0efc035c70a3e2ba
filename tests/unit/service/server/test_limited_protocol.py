"""What a connection does with what is too long, never ends or is ambiguous; without a socket."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import pytest
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


def converse(steps: Steps, app: Any = answer) -> MemoryTransport:
    """Run the steps on a new connection and return its transport as they left it."""

    async def main() -> MemoryTransport:
        config = uvicorn.Config(app, lifespan="off", log_config=None, access_log=False)
        config.load()
        protocol = protocol_with_limits(LONGEST, SECONDS)(config, ServerState(), {})
        transport = MemoryTransport()
        protocol.connection_made(transport)
        await steps(protocol, transport)
        ended = copy.copy(transport)
        protocol.connection_lost(None)  # uvicorn closes the transport here
        return ended

    return asyncio.run(main())


def send(
    chunks: Iterable[bytes],
    wait_seconds: float = 0.0,
    app: Any = answer,
    pause_seconds: float = 0.005,
) -> MemoryTransport:
    """Send the chunks one after the other, then wait."""

    async def steps(protocol: LimitedProtocol, transport: MemoryTransport) -> None:
        for chunk in chunks:
            protocol.data_received(chunk)
            await asyncio.sleep(pause_seconds)
        await asyncio.sleep(wait_seconds)

    return converse(steps, app)


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


# --- what surrounds a body ----------------------------------------------------------------

CHUNKED = b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the whole body and the names of the headers."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message["body"]
        more = message["more_body"]
    body += b" " + b",".join(name for name, _ in scope["headers"])
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def test_trailers_within_the_limit_are_dropped() -> None:
    transport = send([CHUNKED, b"0\r\nX-A: b\r\nAuthorization: c\r\n\r\n", REQUEST], app=echo)
    assert b"hello host,transfer-encoding" in transport.written
    assert b"authorization" not in transport.written
    assert transport.written.count(b"HTTP/1.1 200") == 2


@pytest.mark.parametrize(
    "rest",
    [
        [b"0\r\n", *[b"X: b\r\n"] * 100],
        [b"0\r\n" + b"X:\r\n" * 10_000],
        [b"0\r\nX: ", *[b"a" * 50] * 20],
        [b"0\r\n" + b"x" * 10 * LONGEST],
        [b"5;", *[b"a" * 50] * 20],
    ],
    ids=["many", "many in one piece", "an endless value", "an endless name", "an extension"],
)
def test_trailers_and_extensions_of_chunks_without_end_are_refused(rest: list[bytes]) -> None:
    transport = send([CHUNKED, *rest, REQUEST], app=echo)
    assert transport.written.startswith(b"HTTP/1.1 431 ")
    assert transport.written.count(b"HTTP/1.1") == 1
    assert transport.closed


def test_trailers_without_end_after_an_early_answer_end_the_connection() -> None:
    transport = send([CHUNKED, b"0\r\n", *[b"X: b\r\n"] * 100])
    assert transport.written.count(b"HTTP/1.1") == 1
    assert transport.written.startswith(b"HTTP/1.1 200 ")
    assert transport.closed


def test_many_small_chunks_are_no_long_trailers() -> None:
    transport = send([CHUNKED, *[b"1\r\nx\r\n"] * 100, b"0\r\n\r\n"], app=echo)
    assert b"hello" + b"x" * 100 in transport.written


# --- heads of two meanings, and offers of other protocols ----------------------------------


@pytest.mark.parametrize(
    "head",
    [
        b"GET /\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
        b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n",
    ],
)
def test_a_head_that_two_readers_could_understand_differently_is_refused(head: bytes) -> None:
    transport = send([head, REQUEST])
    first, _, body = transport.written.partition(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 400 ")
    assert json.loads(body)["error"]
    assert transport.closed


def test_an_old_client_without_a_host_is_answered() -> None:
    assert send([b"GET / HTTP/1.0\r\n\r\n"]).written.startswith(b"HTTP/1.1 200 ")


def test_a_refused_head_is_not_answered_in_the_place_of_the_request_before_it() -> None:
    slow = b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"
    transport = send([slow + b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"])
    assert b" 400 " not in transport.written
    assert transport.closed


OFFER = b"Host: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n"


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_an_offer_to_go_on_in_another_protocol_is_ignored(size: int) -> None:
    stream = (
        b"POST / HTTP/1.1\r\n" + OFFER + b"Content-Length: 5\r\n\r\nhello"
        b"POST / HTTP/1.1\r\n" + OFFER + b"Transfer-Encoding: chunked\r\n\r\n3\r\nbye\r\n0\r\n\r\n"
        b"GET / HTTP/1.1\r\n" + OFFER + b"\r\n"
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nlast"
    )
    chunks = [stream[start : start + size] for start in range(0, len(stream), size)]
    written = send(chunks, app=echo, pause_seconds=0.0, wait_seconds=0.01).written
    assert written.count(b"HTTP/1.1 200") == 4
    bodies = [part.split(b"\r\n\r\n")[1] for part in written.split(b"HTTP/1.1 200 OK")[1:]]
    assert [body.split(b" ")[0] for body in bodies] == [b"hello", b"bye", b"", b"last"]


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


def test_chunks_that_are_none_are_answered_with_400_and_the_reason() -> None:
    async def wait_for_body(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] == "http.request":
            pass

    transport = send([CHUNKED, b"zz\r\nabc\r\n"], app=wait_for_body)
    head, _, body = transport.written.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(body)["detail"].startswith("this is not HTTP/1.1: Invalid character in chunk")
    assert transport.closed


def test_nothing_follows_an_answer_that_was_given_before_the_body_broke() -> None:
    transport = send([CHUNKED, b"zz\r\nabc\r\n"])
    assert transport.written.startswith(b"HTTP/1.1 200")
    assert transport.written.count(b"HTTP/1.1") == 1
    assert transport.closed
