"""What the verification takes for an answer, and what for a broken request."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from deploy.compose.container_engine import VerifyError
from deploy.compose.container_images import ROOT
from deploy.compose.stack_load import SAMPLES, ask, check_answer, steady_load
from omnivec2.spec import Modality

LABELS = {"family": "classification", "labels": ["cat", "dog"]}


@contextmanager
def answering(response: bytes) -> Iterator[str]:
    """A server that reads a request and sends these bytes, whatever they are."""

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                received = connection.recv(2**16)
                length = int(received.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                missing = length - len(received.partition(b"\r\n\r\n")[2])
                while missing > 0:
                    missing -= len(connection.recv(2**16))
                connection.sendall(response)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)


def test_there_is_a_real_file_for_every_modality() -> None:
    assert {route.partition("/")[0] for route in SAMPLES} == {m.value for m in Modality}
    assert all((ROOT / "tests" / "data" / file).is_file() for file in SAMPLES.values())


@pytest.mark.parametrize(
    ("response", "result"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", "answered"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[]", "broken"),
        (b"HTTP/1.1 503 No\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n", "put off"),
        (b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", "broken"),
        (b"HTTP/1.1 500 No\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n", "broken"),
        (b"", "broken"),
    ],
    ids=["whole", "cut off", "told when", "not told when", "failed", "hung up"],
)
def test_a_request_is_broken_unless_it_is_answered_whole_or_told_when_to_come_back(
    response: bytes, result: str
) -> None:
    with answering(response) as url:
        assert ask(url, "text/sentiment").result == result


def test_a_request_that_nobody_accepted_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    assert ask(url, "text/sentiment").result == "refused"


def test_a_load_asks_until_it_is_stopped() -> None:
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]") as url:
        with steady_load(url, "text/sentiment", clients=2, pause_seconds=0.01) as load:
            while load.count("answered") < 5:
                pass
        assert load.count("broken") == 0


@pytest.mark.parametrize(
    ("spec", "right", "wrong"),
    [
        (LABELS, [{"label": "cat", "score": 1.0}], [{"label": "cow", "score": 1.0}]),
        (LABELS, [[{"label": "dog", "score": 0.5}]], {"error": "no"}),
        (
            {"family": "detection", "labels": ["cell"]},
            [{"label": "cell", "score": 0.9, "box": {}}],
            [{"label": "cell", "score": 0.9}],
        ),
        (
            {"family": "regression", "targets": [{"name": "y"}]},
            [{"label": "y", "value": 1.5}],
            [{"label": "x", "value": 1.5}],
        ),
        (
            {"family": "forecasting", "horizon": 2},
            {"predictions": [{"mean": [1.0, 2.0]}]},
            {"predictions": [{"mean": [1.0, 2.0, 3.0]}]},
        ),
    ],
    ids=lambda value: value.get("family", "") if isinstance(value, dict) else "",
)
def test_an_answer_must_be_of_its_family(
    spec: dict[str, Any], right: object, wrong: object
) -> None:
    check: Callable[[object], None] = lambda answer: check_answer(  # noqa: E731
        "a/b", json.dumps(answer).encode(), spec
    )
    check(right)
    with pytest.raises(VerifyError, match="a/b"):
        check(wrong)
