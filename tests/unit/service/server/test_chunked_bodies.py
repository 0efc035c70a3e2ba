"""What a connection does with chunks and trailers that never end, or are none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.requests.socketless_connections import CHUNKED, LONGEST, REQUEST, echo, send


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
