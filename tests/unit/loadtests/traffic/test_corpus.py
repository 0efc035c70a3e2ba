"""Which requests a load test sends: to this machine only, and only files that heads take."""

from __future__ import annotations

import http.server
import json
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from loadtests.traffic.corpus import (
    API_KEY_VARIABLE,
    LoadTestError,
    auth_headers,
    check_address,
    fetch,
    find_targets,
    weight_of,
)

ROUTES = {"text/topic": "text", "text/mood": "text", "image/objects": "image"}


@dataclass
class Service:
    """What a made-up service answers and what it was asked.

    Attributes:
        statuses: The statuses of files, by their contents, one after the other; 200 by default.
        url: The service's address.
        keys: The Authorization headers that arrived.
        posted: The number of requests by path and content type.
    """

    statuses: Mapping[bytes, list[int]] = field(default_factory=dict)
    url: str = ""
    keys: list[str | None] = field(default_factory=list)
    posted: Counter[tuple[str, str]] = field(default_factory=Counter)


@contextmanager
def serving(service: Service) -> Iterator[Service]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self, status: int, body: bytes = b"{}") -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Retry-After", "0.01")
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            service.keys.append(self.headers["Authorization"])
            models = [
                {"modality": modality, "task": route.split("/")[1]}
                for route, modality in ROUTES.items()
            ]
            found = self.path == "/models"
            self.answer(200 if found else 404, json.dumps({"models": models}).encode())

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            service.posted[self.path, self.headers["Content-Type"]] += 1
            statuses = service.statuses.get(body, [])
            self.answer(statuses.pop(0) if statuses else 200)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        service.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield service
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    files = {
        "text/a.txt": b"a",
        "text/b.json": b"b",
        "text/README.md": b"about",
        "text/mood/c.txt": b"c",
        "image/d.png": b"d",
    }
    for name, body in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    return tmp_path


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1"])
def test_a_service_on_this_machine_may_be_loaded(url: str) -> None:
    check_address(url, allow_remote=False)


@pytest.mark.parametrize("url", ["http://10.0.0.1:80", "http://example.org", "nonsense"])
def test_another_machine_is_loaded_only_if_that_is_meant(url: str) -> None:
    check_address(url, allow_remote=True)
    with pytest.raises(LoadTestError, match="--allow-remote"):
        check_address(url, allow_remote=False)


def test_the_key_of_the_environment_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(API_KEY_VARIABLE, raising=False)
    assert auth_headers() == {}
    monkeypatch.setenv(API_KEY_VARIABLE, "secret")
    with serving(Service()) as service:
        fetch(f"{service.url}/models")
    assert service.keys == ["Bearer secret"]


def test_a_service_that_is_not_there_is_an_error_that_says_how_to_start_one() -> None:
    with pytest.raises(LoadTestError, match="make serve"):
        fetch("http://127.0.0.1:9/models")


def test_another_status_is_named() -> None:
    with serving(Service()) as service, pytest.raises(LoadTestError, match="answered 404"):
        fetch(f"{service.url}/nothing")


def test_every_head_gets_the_files_of_its_task_or_else_of_its_modality(data: Path) -> None:
    with serving(Service()) as service:
        targets = find_targets(service.url, data, {})
    assert {t.path: [s.name for s in t.samples] for t in targets} == {
        "/predict/image/objects": ["d.png"],
        "/predict/text/mood": ["c.txt"],
        "/predict/text/topic": ["a.txt", "b.json"],
    }
    assert service.posted["/predict/text/topic", "application/json"] == 1
    assert service.posted["/predict/text/topic", "application/octet-stream"] == 1


def test_a_file_that_does_not_suit_a_head_is_left_out_and_named(data: Path) -> None:
    with serving(Service({b"a": [422]})) as service:
        [target] = find_targets(service.url, data, {"text/topic": 1})
    assert [sample.name for sample in target.samples] == ["b.json"]
    assert target.refused == ("a.txt",)


def test_a_check_that_comes_too_early_is_sent_again_when_the_answer_says(data: Path) -> None:
    with serving(Service({b"d": [429, 429]})) as service:
        [target] = find_targets(service.url, data, {"image": 1})
    assert [sample.name for sample in target.samples] == ["d.png"]
    assert service.posted.total() == 3


@pytest.mark.parametrize("statuses", [[500], [429] * 5])
def test_a_service_that_fails_before_any_load_is_not_loaded(
    data: Path, statuses: list[int]
) -> None:
    with (
        serving(Service({b"d": statuses})) as service,
        pytest.raises(LoadTestError, match="before any load"),
    ):
        find_targets(service.url, data, {"image": 1})


def test_a_head_without_a_file_is_named(data: Path) -> None:
    with (
        serving(Service({b"d": [415]})) as service,
        pytest.raises(LoadTestError, match="is taken by image/objects"),
    ):
        find_targets(service.url, data, {})


def test_a_mix_of_what_is_not_loaded_is_refused(data: Path) -> None:
    with serving(Service()) as service, pytest.raises(LoadTestError, match="audio, text/smell"):
        find_targets(service.url, data, {"text/smell": 1, "audio": 2, "text": 1})


def test_without_a_mix_every_head_weighs_the_same() -> None:
    assert [weight_of(route, {}, ROUTES) for route in ROUTES] == [1.0, 1.0, 1.0]


def test_the_weight_of_a_modality_is_spread_over_the_heads_that_have_none_of_their_own() -> None:
    assert weight_of("text/topic", {"text": 3}, ROUTES) == 1.5
    mix = {"text": 3, "text/mood": 1}
    assert [weight_of(route, mix, ROUTES) for route in ROUTES] == [3.0, 1.0, 0.0]
