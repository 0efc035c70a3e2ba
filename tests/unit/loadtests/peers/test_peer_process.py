"""Starting and ending the processes of peers."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from loadtests.peers import peer_process
from loadtests.peers.peer_process import (
    PEERS,
    SERVERS,
    Peer,
    PeerError,
    check_same_answer,
    end_marked_processes,
    first_answer,
    installed_versions,
    running_peer,
)

PYTHON = Path(sys.executable)

# Answers with its own environment, and leaves a process behind in a session of its own.
SERVER = """
import http.server, json, os, subprocess, sys
sleeper = subprocess.Popen(["sleep", "60"], start_new_session=True)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        labels = json.loads(os.environ["PEER_LABELS"])
        body = json.dumps([[{"label": label, "score": 0.5} for label in labels]
                           + [{"label": str(sleeper.pid), "score": 0}]]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words):
        pass
http.server.HTTPServer(("127.0.0.1", int(os.environ["PEER_PORT"])), Handler).serve_forever()
"""


@pytest.fixture
def servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(peer_process, "SERVERS", tmp_path)
    return tmp_path


def test_a_peer_answers_and_all_that_it_started_is_ended(servers: Path) -> None:
    (servers / "stub.py").write_text(SERVER)
    peer = Peer("Stub", (), "stub")
    with running_peer(peer, PYTHON, Path("model.onnx"), ["frog", "deer"]) as port:
        *answers, last = first_answer(port, peer.request(b"a JPEG"))
        sleeper = Path("/proc") / last["label"]
        assert sleeper.exists()
    assert [answer["label"] for answer in answers] == ["frog", "deer"]
    deadline = time.monotonic() + 20
    while not _has_ended(sleeper):
        assert time.monotonic() < deadline, f"{sleeper} was not killed"
        threading.Event().wait(0.01)


def _has_ended(process: Path) -> bool:
    try:
        # What was killed may wait for init to read its status.
        return "\nState:\tZ" in (process / "status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_a_peer_that_ends_is_told_with_its_log(servers: Path) -> None:
    (servers / "stub.py").write_text("raise SystemExit('no such graph')")
    with (
        pytest.raises(PeerError, match=r"(?s)Stub ended:.*no such graph"),
        running_peer(Peer("Stub", (), "stub"), PYTHON, Path("model.onnx"), []),
    ):
        raise AssertionError("it did not start")


def test_a_peer_that_never_listens_is_ended(servers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_process, "_START_SECONDS", 0.3)
    (servers / "stub.py").write_text("import signal; signal.pause()")
    with (
        pytest.raises(PeerError, match="Stub did not listen in time"),
        running_peer(Peer("Stub", (), "stub"), PYTHON, Path("model.onnx"), []),
    ):
        raise AssertionError("it did not start")


def test_only_processes_with_the_mark_are_killed() -> None:
    def start(mark: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(["sleep", "60"], env={"A_TEST_MARK": mark, **os.environ})

    marked, other = start("one"), start("another")
    try:
        assert end_marked_processes("A_TEST_MARK", "one") == 1
        assert marked.wait(10) < 0
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_every_peer_has_a_program() -> None:
    for peer in PEERS:
        assert (SERVERS / f"{peer.module}.py").is_file()
        assert any(peer.module in word for word in peer.command(PYTHON, 8000))


def test_every_peer_listens_on_loopback_only() -> None:
    for peer in PEERS:
        text = (SERVERS / f"{peer.module}.py").read_text()
        assert "0.0.0.0" not in text
        # uvicorn's own default is loopback; the others are told.
        assert peer.module.startswith("fastapi") or "127.0.0.1" in text + " ".join(
            peer.command(PYTHON, 8000)
        )


def test_a_picture_is_the_body_or_a_field_of_a_form() -> None:
    plain = Peer("A", (), "a").request(b"JPEG")
    assert (plain.body, plain.content_type) == (b"JPEG", "image/jpeg")
    form = Peer("B", (), "b", form_field="pictures").request(b"JPEG")
    boundary = form.content_type.partition("boundary=")[2].encode()
    assert form.body.startswith(b"--" + boundary + b"\r\n")
    assert b'name="pictures"; filename="picture.jpg"' in form.body
    assert form.body.endswith(b"JPEG\r\n--" + boundary + b"--\r\n")


def test_another_label_than_the_services_is_an_error() -> None:
    ours = [{"label": "deer", "score": 0.34}, {"label": "frog", "score": 0.2}]
    check_same_answer("A peer", [{"label": "deer", "score": 0.3}], ours)
    with pytest.raises(PeerError, match=r"A peer answers .*'frog'.*, the service .*'deer'"):
        check_same_answer("A peer", [{"label": "frog", "score": 0.3}], ours)


def test_versions_are_those_of_the_peers_environment() -> None:
    assert installed_versions(PYTHON, ["pytest"]) == {"pytest": pytest.__version__}
