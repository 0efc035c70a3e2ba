"""The compiled load generator, against a server of a few lines."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from loadtests.support.http_load import (
    HttpRequest,
    LoadError,
    build_generator,
    load_server,
    read_figures,
)

REQUEST = HttpRequest("/predict", b"x" * 100_000, "image/jpeg")
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"


class Seen:
    """What the server has seen."""

    def __init__(self) -> None:
        self.connections = 0
        self.bodies: set[bytes] = set()
        self.heads: set[bytes] = set()


@contextmanager
def server(answer: bytes, pieces: int = 1) -> Iterator[tuple[int, Seen]]:
    """Answer every request with these bytes, in so many pieces."""
    seen = Seen()
    size = -(-len(answer) // pieces)

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            seen.connections += 1
            while line := self.rfile.readline():
                head = line
                while (line := self.rfile.readline()) != b"\r\n":
                    head += line
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                seen.heads.add(head)
                seen.bodies.add(self.rfile.read(length))
                for start in range(0, len(answer), size):
                    self.wfile.write(answer[start : start + size])
                    self.wfile.flush()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield listening.server_address[1], seen
        finally:
            listening.shutdown()
            thread.join()


@pytest.mark.parametrize("answer", [PLAIN, CHUNKED])
@pytest.mark.parametrize("pieces", [1, 7])
def test_connections_are_kept_and_every_request_is_sent_whole(answer: bytes, pieces: int) -> None:
    with server(answer, pieces) as (port, seen):
        figures = load_server(port, REQUEST, connections=3, warm_seconds=0.02, seconds=0.1)
    assert seen.connections == 3
    assert seen.bodies == {REQUEST.body}
    assert figures.rate > 0
    assert 0 < figures.p50_ms <= figures.p95_ms <= figures.p99_ms < 100 + 5000


def test_the_head_names_path_and_content_type() -> None:
    with server(PLAIN) as (port, seen):
        load_server(port, REQUEST, connections=1, warm_seconds=0, seconds=0.05)
    (head,) = seen.heads
    assert head.startswith(b"POST /predict HTTP/1.1\r\n")
    assert b"\r\nContent-Type: image/jpeg\r\n" in head


def test_an_answer_that_is_not_200_fails_with_its_text() -> None:
    refusal = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 4\r\n\r\nwait"
    with (
        server(refusal) as (port, _),
        pytest.raises(LoadError, match=r"errors: answered HTTP/1.1 429 Too Many Requests: wait"),
    ):
        load_server(port, REQUEST, connections=2, warm_seconds=0, seconds=0.05)


def test_a_port_where_nothing_listens_fails() -> None:
    with socketserver.TCPServer(("127.0.0.1", 0), socketserver.BaseRequestHandler) as closed:
        port = closed.server_address[1]
    with pytest.raises(LoadError, match="connect"):
        load_server(port, REQUEST, connections=1, warm_seconds=0, seconds=0.05)


def test_nothing_longer_than_ten_minutes_is_begun() -> None:
    with pytest.raises(LoadError, match="at most 600 s"):
        load_server(1, REQUEST, connections=1, warm_seconds=0, seconds=601)


def test_the_rate_counts_only_what_was_answered_in_the_counted_time() -> None:
    figures = read_figures(
        '{"answers": 30, "errors": 0, "seconds": 1.5, "p50_ms": 2, "p95_ms": 3, "p99_ms": 4}'
    )
    assert (figures.rate, figures.p50_ms, figures.p95_ms, figures.p99_ms) == (20, 2, 3, 4)


def test_no_answer_in_time_is_an_error() -> None:
    nothing = '{"answers": 0, "errors": 0, "seconds": 1, "p50_ms": 0, "p95_ms": 0, "p99_ms": 0}'
    with pytest.raises(LoadError, match="nothing was answered in time"):
        read_figures(nothing)


def test_the_generator_is_compiled_once(tmp_path: Path) -> None:
    program = build_generator(tmp_path)
    made = program.stat().st_mtime_ns
    assert build_generator(tmp_path) == program
    assert program.stat().st_mtime_ns == made
    assert [path.name for path in tmp_path.iterdir()] == [program.name]


def test_without_a_compiler_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(LoadError, match=r"no-such-compiler.*install gcc"):
        build_generator(tmp_path)


def test_what_the_compiler_says_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing = tmp_path / "compiler"
    failing.write_text("#!/bin/sh\necho no room >&2\nexit 1\n")
    failing.chmod(0o755)
    monkeypatch.setenv("CC", str(failing))
    with pytest.raises(LoadError, match=r"(?s)cannot compile.*no room"):
        build_generator(tmp_path / "build")
