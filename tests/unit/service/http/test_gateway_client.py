from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from omnivec2.errors import (
    InputError,
    InvalidParameterError,
    ModelNotReadyError,
    OmniVecError,
)
from service.http.gateway_client import predict_by_gateway, wait_for_version
from service.pipeline.in_process.named_files import NamedFile
from service.request_context import PartAnswer

FILES = [NamedFile("a.txt", b"good"), NamedFile("b.txt", b"bad")]


@contextmanager
def gateway(status: int, answer: Any, **headers: str) -> Iterator[tuple[str, list[bytes]]]:
    """Run a server that gives one answer to all requests; yield its address and their bodies."""
    bodies: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.do_GET()

        def do_GET(self) -> None:
            data = json.dumps(answer).encode() if not isinstance(answer, bytes) else answer
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", bodies
        finally:
            server.shutdown()
            thread.join()


def predict(url: str) -> Any:
    return predict_by_gateway(url, "text/sentiment", FILES, {"top_k": 1}, 5.0)


def test_files_and_parameters_go_as_a_form() -> None:
    with gateway(200, [1, 2]) as (url, bodies):
        assert predict(url + "/").value == [1, 2]
    (body,) = bodies
    assert body.count(b'name="file"') == 2
    assert b"Content-Type: text/plain\r\n\r\ngood\r\n" in body
    assert b'name="parameters"\r\n\r\n{"top_k": 1}\r\n' in body


def test_notes_come_back_with_the_answer() -> None:
    notes = 'cut;field="inputs[1]";count=3;text="its end was not read"'
    with gateway(200, [1, 2], X_Notes=notes) as (url, _):
        [note] = predict(url).notes
    assert note == {
        "code": "cut",
        "field": "inputs[1]",
        "count": 3,
        "text": "its end was not read",
    }


@pytest.mark.parametrize(
    ("status", "answer", "kind", "message"),
    [
        (422, {"error": "not text", "field": "inputs[1]"}, InputError, r"^b\.txt: not text$"),
        (422, {"error": "unknown", "field": "parameters.top_k"}, InputError, "^unknown$"),
        (503, {"error": "loading"}, OmniVecError, "^loading$"),
        (502, b"<html>", OmniVecError, "HTTP 502"),
        (200, b"<html>", ModelNotReadyError, "does not answer"),
    ],
)
def test_a_refusal_has_the_gateways_words_and_the_files_name(
    status: int, answer: Any, kind: type[OmniVecError], message: str
) -> None:
    with gateway(status, answer) as (url, _), pytest.raises(kind, match=message) as caught:
        predict(url)
    assert isinstance(caught.value, InputError) == (status == 422)


def test_a_gateway_that_cannot_be_reached_is_named() -> None:
    with gateway(200, []) as (url, _):
        pass
    with pytest.raises(ModelNotReadyError, match=url):
        predict(url)
    with pytest.raises(ModelNotReadyError, match=url):
        wait_for_version(url, "text/sentiment", "2")


def test_the_scheme_of_an_address_may_be_left_out() -> None:
    with gateway(200, [1]) as (url, _):
        assert predict(url.removeprefix("http://") + "/").value == [1]


@pytest.mark.parametrize("url", ["", "http://", "file:///etc/passwd", "ftp://a", "a:99999"])
def test_what_is_no_address_of_a_gateway_is_refused(url: str) -> None:
    with pytest.raises(InvalidParameterError, match=r"such as http://127\.0\.0\.1:8080, got"):
        predict(url)


def test_another_server_is_no_gateway() -> None:
    def answer(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer, args=(server,))
        thread.start()
        with pytest.raises(ModelNotReadyError, match="does it run"):
            predict(f"http://127.0.0.1:{server.getsockname()[1]}")
        thread.join()


def test_waiting_ends_with_the_version_with_a_refusal_or_with_the_time() -> None:
    served = {"models": [{"name": "text_sentiment", "version": "2"}], "refused": []}
    with gateway(200, served) as (url, _):
        wait_for_version(url, "text/sentiment", "2")
        with pytest.raises(ModelNotReadyError, match="version 3 of text/sentiment"):
            wait_for_version(url, "text/sentiment", "3", seconds=0.3)
    refused = {"models": [], "refused": [{"name": "text_sentiment", "reason": "altered"}]}
    with gateway(200, refused) as (url, _), pytest.raises(OmniVecError, match="altered"):
        wait_for_version(url, "text/sentiment", "2")


def predict_in_parts(url: str) -> tuple[Any, list[PartAnswer]]:
    parts: list[PartAnswer] = []
    answer = predict_by_gateway(url, "text/sentiment", FILES, {}, 5.0, on_part=parts.append)
    return answer, parts


def test_parts_of_a_streamed_answer_are_passed_on_as_they_come() -> None:
    stream = (
        b': keep-alive\n\nevent: window\nid: 1\ndata: {"task": "events", "input": 0, "index": 1,'
        b' "count": 2, "answer": [7]}\n\n'
        b'event: answer\nid: 2\ndata: {"answer": [8], "headers": {"x-notes": "cut;text=\\"a\\""}}'
        b"\n\n"
    )
    with gateway(200, stream, Content_Type="text/event-stream; charset=utf-8") as (url, _):
        answer, parts = predict_in_parts(url)
    assert parts == [PartAnswer("window", "events", 0, 1, 2, [7])]
    assert answer.value == [8]
    assert [note["code"] for note in answer.notes] == ["cut"]


def test_a_gateway_that_knows_no_streams_gives_the_whole_answer() -> None:
    with gateway(200, [1, 2]) as (url, _):
        answer, parts = predict_in_parts(url)
    assert (answer.value, parts) == ([1, 2], [])


@pytest.mark.parametrize(("status", "kind"), [(422, InputError), (503, OmniVecError)])
def test_a_failure_within_a_stream_is_raised_and_names_its_file(
    status: int, kind: type[OmniVecError]
) -> None:
    data = json.dumps({"status": status, "error": "wrong", "field": "inputs[1]"}).encode()
    stream = b"event: error\nid: 1\ndata: " + data + b"\n\n"
    with (
        gateway(200, stream, Content_Type="text/event-stream") as (url, _),
        pytest.raises(kind, match=r"b\.txt: wrong"),
    ):
        predict_in_parts(url)


def test_a_stream_that_breaks_off_is_an_error() -> None:
    with (
        gateway(200, b": keep-alive\n\n", Content_Type="text/event-stream") as (url, _),
        pytest.raises(ModelNotReadyError, match="ended before"),
    ):
        predict_in_parts(url)


def test_a_head_that_a_gateway_never_takes_is_told_with_what_keeps_it_out() -> None:
    answer = {"models": [], "refused": []}
    with (
        gateway(200, answer) as (url, _),
        pytest.raises(ModelNotReadyError, match=r"never will if it was started with --only"),
    ):
        wait_for_version(url, "text/sentiment", "1", seconds=0.2)
