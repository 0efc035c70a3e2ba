"""A run of schemathesis counts only if it came to every operation of the service."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from loadtests import fuzz

DOCUMENT = {"paths": {"/one": {"get": {}, "post": {}, "parameters": []}, "/two": {"get": {}}}}


class _Service(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(DOCUMENT).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Service) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("tested", "status", "result"),
    [(3, 0, 0), (2, 0, 1), (3, 7, 7)],
    ids=["all", "too few", "a fault"],
)
def test_a_run_that_missed_operations_fails(
    url: str,
    tested: int,
    status: int,
    result: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    program = tmp_path / "st"
    program.write_text(f"#!/bin/sh\necho '  Tested: {tested}'\nexit {status}\n")
    program.chmod(0o755)
    monkeypatch.setattr(fuzz, "_SCHEMATHESIS", program)
    monkeypatch.setattr("sys.argv", ["fuzz", "--url", url, "--seconds", "1"])
    assert fuzz.main() == result
    said = capsys.readouterr().out
    assert f"Tested: {tested}" in said
    assert ("only 2 of 3 operations" in said) == (tested == 2)
