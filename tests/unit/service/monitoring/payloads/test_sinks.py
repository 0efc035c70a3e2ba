from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from omnivec2.errors import ArtifactError
from service.monitoring.payloads.sinks import FileSink, HttpSink, is_address


class Receiver:
    """An endpoint that takes batches, and may refuse some."""

    def __init__(self, *statuses: int) -> None:
        self.batches: list[list[object]] = []
        self.headers: list[dict[str, str]] = []
        self._statuses = list(statuses)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.batches.append(json.loads(body))
                outer.headers.append(dict(self.headers))
                self.send_response(outer._statuses.pop(0) if outer._statuses else 202)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/events"


@contextmanager
def receiver(*statuses: int) -> Iterator[Receiver]:
    made = Receiver(*statuses)
    thread = threading.Thread(target=made.server.serve_forever)
    thread.start()
    try:
        yield made
    finally:
        made.server.shutdown()
        thread.join(10)
        made.server.server_close()


def sink_of(url: str, closing: threading.Event | None = None) -> HttpSink:
    return HttpSink(url, "Bearer secret", closing or threading.Event(), (0.01, 0.01))


def test_a_batch_goes_to_the_endpoint_as_a_list_of_events() -> None:
    with receiver() as there:
        sink = sink_of(there.url)
        assert sink.write([b'{"id":1}', b'{"id":2}']) == 2
        sink.close()
    assert there.batches == [[{"id": 1}, {"id": 2}]]
    assert there.headers[0]["Content-Type"] == "application/cloudevents-batch+json"
    assert there.headers[0]["Authorization"] == "Bearer secret"


def test_a_busy_endpoint_is_tried_again_and_a_refusal_is_not() -> None:
    with receiver(503, 429, 200, 400, 500, 500, 500) as there:
        sink = sink_of(there.url)
        assert sink.write([b"1"]) == 1
        assert len(there.batches) == 3
        assert sink.write([b"2"]) == 0
        assert len(there.batches) == 4
        assert sink.write([b"3"]) == 0  # after all attempts
        assert len(there.batches) == 7
        sink.close()


def test_a_redirect_takes_no_event(caplog: pytest.LogCaptureFixture) -> None:
    with receiver(302) as there:
        sink = sink_of(there.url)
        assert sink.write([b"1"]) == 0
        sink.close()
    assert len(there.batches) == 1
    assert "status 302, a redirect, which is not followed" in caplog.text


def test_an_endpoint_that_is_away_costs_a_few_attempts(caplog: pytest.LogCaptureFixture) -> None:
    with receiver() as there:
        url = there.url.replace("http://", "http://user:password@")
    sink = sink_of(url)
    assert sink.write([b"1"]) == 0
    sink.close()
    assert "given up" in caplog.text
    assert "password" not in caplog.text


def test_one_attempt_more_is_made_once_the_service_stops() -> None:
    closing = threading.Event()
    closing.set()
    with receiver(503, 503, 202) as there:
        sink = sink_of(there.url, closing)
        assert sink.write([b"1"]) == 0
        sink.close()
    assert len(there.batches) == 2


@pytest.mark.parametrize("wrong", ["ftp://a/b", "file:///etc/passwd", "http:///path", "s3://b/k"])
def test_other_schemes_and_addresses_without_a_host_are_refused(wrong: str) -> None:
    with pytest.raises(ArtifactError, match="http://"):
        is_address(wrong)


def test_a_file_is_no_address() -> None:
    assert not is_address("events.jsonl")
    assert is_address("https://collector.example/events")


def test_a_full_file_is_rotated_and_the_oldest_goes(tmp_path: Path) -> None:
    sink = FileSink(tmp_path / "events.jsonl", most_bytes=20, kept=2)
    for number in range(8):
        assert sink.write([b'{"id":%d}' % number]) == 1
    sink.close()
    sink.close()
    lines = {path.name: path.read_text().splitlines() for path in tmp_path.iterdir()}
    assert lines == {
        "events.jsonl": ['{"id":6}', '{"id":7}'],
        "events.jsonl.1": ['{"id":4}', '{"id":5}'],
        "events.jsonl.2": ['{"id":2}', '{"id":3}'],
    }
    assert (tmp_path / "events.jsonl").stat().st_mode & 0o777 == 0o600


def test_without_older_files_a_full_file_begins_again(tmp_path: Path) -> None:
    sink = FileSink(tmp_path / "events", most_bytes=5, kept=0)
    sink.write([b"one", b"two"])
    sink.close()
    assert [path.read_text() for path in tmp_path.iterdir()] == ["two\n"]


def test_a_file_that_cannot_be_opened_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="directory that exists"):
        FileSink(tmp_path / "no" / "events", 100, 1)


def test_a_full_disk_loses_events_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sink = FileSink(tmp_path / "events", 1000, 1)
    write = os.write
    taken: list[int] = []

    def full(descriptor: int, data: bytes) -> int:
        if taken:
            raise OSError(28, "No space left on device")
        taken.append(1)
        return write(descriptor, data[:2])

    monkeypatch.setattr(os, "write", full)
    assert sink.write([b"first"]) == 0
    assert sink.write([b"first"]) == 0
    monkeypatch.setattr(os, "write", write)
    assert sink.write([b"second"]) == 1
    sink.close()
    assert (tmp_path / "events").read_text() == "second\n"  # no half a line before it
    assert caplog.text.count("cannot be written") == 1
