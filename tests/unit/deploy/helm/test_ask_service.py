"""The test of an installed service waits for one that starts, and fails at once if it refuses."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from deploy.helm import ask_service


@contextmanager
def service(statuses: list[int]) -> Iterator[tuple[str, list[str]]]:
    """Serve answers of these statuses, one after the other; yield the address and what came."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(f"{self.command} {self.path} {self.headers.get('Authorization')}")
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"answer"
            self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, format: str, *args: object) -> None:
            """Drop the message."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", seen
        finally:
            server.shutdown()


def test_a_service_that_is_starting_is_asked_again() -> None:
    with service([503, 429, 200]) as (url, seen):
        assert ask_service.ask(f"{url}/readyz", {}, pause_seconds=0) == "answer"
    assert len(seen) == 3


def test_a_refusal_ends_the_test_with_the_reason() -> None:
    with service([404]) as (url, seen), pytest.raises(SystemExit, match="/predict/a/b: 404"):
        ask_service.ask(f"{url}/predict/a/b", {}, b"text", pause_seconds=0)
    assert len(seen) == 1


def test_it_asks_for_life_readiness_and_one_prediction(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with service([200]) as (url, seen):
        given = {"SERVICE_URL": url, "HEAD": "text/sentiment", "BODY": "Fine.", "API_KEY": "secret"}
        for name, value in {**given, "CONTENT_TYPE": "text/plain"}.items():
            monkeypatch.setenv(name, value)
        ask_service.main()
    assert [line.rpartition(" ")[0] for line in seen] == [
        "GET /healthz Bearer",
        "GET /readyz Bearer",
        "POST /predict/text/sentiment Bearer",
    ]
    assert capsys.readouterr().out.splitlines()[-1] == "text/sentiment: Fine."
