from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from omnivec2.errors import InputError, ModelNotReadyError, OmniVecError
from service.http.gateway_client import predict_by_gateway, wait_for_version
from service.pipeline.named_files import NamedFile

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


def test_waiting_ends_with_the_version_with_a_refusal_or_with_the_time() -> None:
    served = {"models": [{"name": "text_sentiment", "version": "2"}], "refused": []}
    with gateway(200, served) as (url, _):
        wait_for_version(url, "text/sentiment", "2")
        with pytest.raises(ModelNotReadyError, match="version 3 of text/sentiment"):
            wait_for_version(url, "text/sentiment", "3", seconds=0.3)
    refused = {"models": [], "refused": [{"name": "text_sentiment", "reason": "altered"}]}
    with gateway(200, refused) as (url, _), pytest.raises(OmniVecError, match="altered"):
        wait_for_version(url, "text/sentiment", "2")
