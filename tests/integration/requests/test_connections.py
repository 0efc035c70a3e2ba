"""Connections to a real gateway whose requests are too long, incomplete or unauthorized."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
import tritonclient.grpc as triton

from service.access.api_keys import create_key
from tests.support.gateways.servers import RunningServer, running_server
from tests.support.model_repositories.tiny_models import tiny_heads, write_repository

pytestmark = pytest.mark.alone

ROUTE = "/predict/text/sentiment"
SECONDS = 1.0


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys") / "keys.json"


@pytest.fixture(scope="module")
def key(keys: Path) -> str:
    return create_key(keys, "alice")


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, keys: Path, key: str
) -> Iterator[RunningServer]:
    root = write_repository(tmp_path_factory.mktemp("repository"), tiny_heads())
    options = ("--model-repo", str(root), "--checkpoint", "none", "--grpc-port", "0")
    settings = {
        "api_keys_file": keys,
        "header_timeout_seconds": SECONDS,
        "max_header_bytes": 4096,
    }
    with running_server(*options, settings=settings) as running:
        yield running


def connect(server: RunningServer) -> socket.socket:
    address = urlsplit(server.url)
    return socket.create_connection((address.hostname, address.port), timeout=20)


def read_all(connection: socket.socket) -> bytes:
    try:
        return connection.makefile("rb").read()
    except ConnectionResetError:
        return b""


def read_answer(connection: socket.socket) -> http.client.HTTPResponse:
    """Read one whole answer, which may come in pieces, and nothing after it."""
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    answer.read()
    return answer


def test_a_head_in_one_piece_that_is_too_long_is_refused(server: RunningServer) -> None:
    reply = requests.get(f"{server.url}/healthz", headers={"X-Long": "x" * 5000})
    assert reply.status_code == 431
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert reply.json()["error"]


def test_a_line_that_does_not_end_is_refused(server: RunningServer) -> None:
    with connect(server) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nX-Long: ")
        answer = b""
        for _ in range(100):
            try:
                connection.sendall(b"x" * 100)
                time.sleep(0.005)
            except OSError:
                break
        answer = read_all(connection)
        assert answer == b"" or b" 431 " in answer
    assert requests.get(f"{server.url}/healthz").status_code == 200


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HT", b"GET /healthz HTTP/1.1\r\nX-A: b\r\n"])
def test_a_head_that_does_not_arrive_ends_the_connection(
    server: RunningServer, sent: bytes
) -> None:
    with connect(server) as connection:
        connection.sendall(sent)
        started = time.monotonic()
        assert read_all(connection) == b""
        assert 0.5 * SECONDS < time.monotonic() - started < 10 * SECONDS


def test_a_second_head_that_does_not_arrive_ends_the_connection(server: RunningServer) -> None:
    with connect(server) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read_answer(connection).status == 200
        connection.sendall(b"GET /heal")
        started = time.monotonic()
        assert read_all(connection) == b""
        assert time.monotonic() - started < 10 * SECONDS


def test_a_head_that_trickles_in_is_given_no_more_time(server: RunningServer) -> None:
    ended = threading.Event()
    with connect(server) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\n")
        started = time.monotonic()
        while not ended.is_set() and time.monotonic() - started < 10 * SECONDS:
            time.sleep(0.1)
            try:
                connection.sendall(b"X-A: b\r\n")
            except OSError:
                ended.set()
    assert ended.is_set()


def test_many_heads_that_do_not_arrive_do_not_keep_others_waiting(server: RunningServer) -> None:
    idle = [connect(server) for _ in range(200)]
    try:
        for connection in idle:
            connection.sendall(b"POST /predict HTTP/1.1\r\n")
        started = time.monotonic()
        assert requests.get(f"{server.url}/healthz").status_code == 200
        assert time.monotonic() - started < SECONDS
    finally:
        for connection in idle:
            connection.close()


def test_a_refusal_is_read_by_those_who_are_still_sending(server: RunningServer) -> None:
    body = b"x" * 20_000_000
    for _ in range(5):
        reply = requests.post(f"{server.url}{ROUTE}", data=body)
        assert reply.status_code == 401
        assert reply.headers["Connection"] == "close"


def test_the_connection_of_a_small_body_that_was_refused_is_used_again(
    server: RunningServer, key: str
) -> None:
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=20)
    connection.connect()
    first = connection.sock
    for headers, status in (({}, 401), ({"X-API-Key": key}, 200)):
        connection.request("POST", ROUTE, b"good", {"Content-Type": "text/plain", **headers})
        response = connection.getresponse()
        response.read()
        assert response.status == status
    assert connection.sock is first
    connection.close()


def test_a_skipped_body_that_does_not_end_ends_the_connection(server: RunningServer) -> None:
    head = f"POST {ROUTE} HTTP/1.1\r\nHost: x\r\nContent-Length: 4000\r\n\r\n"
    with connect(server) as connection:
        connection.sendall(head.encode())
        assert read_answer(connection).status == 401
        connection.sendall(b"x")
        started = time.monotonic()
        assert read_all(connection) == b""
        assert time.monotonic() - started < 10 * SECONDS


def test_grpc_requires_a_key_too(server: RunningServer, key: str) -> None:
    client = triton.InferenceServerClient(server.grpc_address)
    try:
        assert client.is_server_live()
        assert client.is_server_ready()
        for headers in ({}, {"authorization": "Bearer wrong"}):
            with pytest.raises(triton.InferenceServerException) as refused:
                client.get_model_metadata("text_sentiment", headers=headers)
            assert refused.value.status() == "StatusCode.UNAUTHENTICATED"
        for headers in ({"authorization": f"Bearer {key}"}, {"x-api-key": key}):
            assert client.get_model_metadata("text_sentiment", headers=headers).name
    finally:
        client.close()


def test_grpc_holds_a_key_to_its_heads_and_its_rate(server: RunningServer, keys: Path) -> None:
    other = {"x-api-key": create_key(keys, "other", heads=("image/classification",))}
    slow = {"x-api-key": create_key(keys, "slow", requests_per_second=0.01)}
    client = triton.InferenceServerClient(server.grpc_address)
    try:
        last = time.monotonic() + 10
        while time.monotonic() < last:
            time.sleep(0.3)
            with contextlib.suppress(triton.InferenceServerException):
                client.get_server_metadata(headers=other)
                break
        for headers, status in ((other, "PERMISSION_DENIED"), (slow, "RESOURCE_EXHAUSTED")):
            statuses = []
            for _ in range(2):
                try:
                    client.infer("text_sentiment", [], headers=headers)
                except triton.InferenceServerException as error:
                    statuses.append(error.status())
            assert statuses[-1] == f"StatusCode.{status}"
    finally:
        client.close()


def test_a_key_is_made_and_revoked_while_the_gateway_runs(
    server: RunningServer, keys: Path
) -> None:
    new = create_key(keys, "new")
    answer = {"data": b"good", "headers": {"Authorization": f"Bearer {new}"}}
    last = time.monotonic() + 10
    while (status := requests.post(f"{server.url}{ROUTE}", **answer).status_code) == 401:
        assert time.monotonic() < last
        time.sleep(0.2)
    assert status == 200


def test_trailers_without_end_are_refused(server: RunningServer, key: str) -> None:
    head = f"POST {ROUTE} HTTP/1.1\r\nHost: x\r\nX-API-Key: {key}\r\nContent-Type: text/plain\r\n"
    with connect(server) as connection:
        connection.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\n".encode())
        with contextlib.suppress(OSError):
            for _ in range(1000):
                connection.sendall(b"X: b\r\n" * 1000)
        answer = read_all(connection)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 431 ")


def test_an_offer_of_another_protocol_does_not_lose_the_body(
    server: RunningServer, key: str
) -> None:
    offer = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AA"}
    headers = {"Content-Type": "text/plain", "X-API-Key": key, **offer}
    with requests.Session() as session:
        for _ in range(3):
            reply = session.post(f"{server.url}{ROUTE}", data=b"good", headers=headers)
            assert reply.status_code == 200


def test_head_is_answered_without_a_body(server: RunningServer, key: str) -> None:
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=20)
    for method in ("HEAD", "GET", "HEAD"):
        connection.request(method, "/models", headers={"X-API-Key": key})
        response = connection.getresponse()
        assert response.status == 200
        assert int(response.headers["Content-Length"]) > 0
        assert bool(response.read()) == (method == "GET")
    connection.close()


@pytest.mark.parametrize(
    "head",
    [
        b"GET /healthz\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"POST /healthz HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity, chunked\r\n\r\n0\r\n",
    ],
)
def test_an_ambiguous_head_ends_the_connection(server: RunningServer, head: bytes) -> None:
    with connect(server) as connection:
        connection.sendall(head)
        assert read_all(connection).startswith(b"HTTP/1.1 400 ")
