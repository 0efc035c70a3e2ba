"""What a connection does with a head that is too long or never ends; without a socket."""

from __future__ import annotations

import asyncio
import json

from service.server.limited_protocol import LimitedProtocol
from tests.support.requests.socketless_connections import (
    HEAD,
    LONGEST,
    REQUEST,
    SECONDS,
    MemoryTransport,
    converse,
    send,
)

SKIPPED = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"


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
