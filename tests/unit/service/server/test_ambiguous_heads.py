"""What a connection does with heads of two meanings, and with offers of other protocols."""

from __future__ import annotations

import json

import pytest

from tests.support.requests.socketless_connections import REQUEST, echo, send


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
