"""Feedback over processes and gateways, drift and the payload log, of real servers."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from loadtests.drift.drift_cases import DriftCase
from loadtests.drift.measure_drift import measure_drift
from omnivec2.terminal import make_console
from tests.support.documents import ADDRESS, ROOT, Example, examples
from tests.support.gateways.servers import RunningServer, running_server
from tests.support.model_repositories.tiny_models import tiny_heads
from tests.support.model_repositories.watched_repository import write_watched_repository
from tests.support.outside_services.shared_state import needs_store, running_store
from tests.support.waiting import wait_until

HEADS = [head for head in tiny_heads() if head.route in ("text/sentiment", "text/paraphrase")]
ROUTE = "/predict/text/sentiment"
WORDS = ["good", "film", "bad", "long", "story", "very", "dull", "great", "cast", "plot"]
TEXTS = [f"{one} {other}" for one in WORDS for other in WORDS]
PROCESSES = 2


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("repository")
    return write_watched_repository(root, HEADS, {"text/sentiment": TEXTS})


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("log") / "events.jsonl"


@pytest.fixture(scope="module")
def server(repository: Path, log: Path) -> Iterator[RunningServer]:
    settings = {
        "feedback_answers": 1000,
        "drift_share": 1,
        "drift_window": 20,
        "payload_log": log,
        "payload_log_share": 1,
    }
    options = ("--model-repo", str(repository), "--checkpoint", "none")
    several = ("--processes", str(PROCESSES))
    with running_server(*options, *several, settings=settings) as running:
        limit = 256
        wait_until(lambda: metric(running.url, "omnivec2_max_pending_requests") == limit)
        yield running


def metric(url: str, name: str, labels: str = "") -> float | None:
    text = httpx.get(f"{url}/metrics", timeout=10).text
    found = re.findall(rf"^{name}(?:{{[^}}]*{labels}[^}}]*}})? (\S+)$", text, re.M)
    return sum(map(float, found)) if found else None


def ask(url: str, text: str) -> tuple[str, str]:
    """Ask on a connection of its own; return the request's id and the class it was given."""
    reply = httpx.post(f"{url}{ROUTE}", json={"inputs": text}, timeout=20)
    assert reply.status_code == 200
    return reply.headers["X-Request-ID"], reply.json()[0][0]["label"]


def give(url: str, request_id: str, label: str) -> httpx.Response:
    return httpx.post(f"{url}/feedback/{request_id}", json={"label": label}, timeout=20)


def test_feedback_reaches_the_process_that_answered_and_counts_once(server: RunningServer) -> None:
    with ThreadPoolExecutor(4) as pool:
        asked = list(pool.map(lambda text: ask(server.url, text), TEXTS[:40]))
        replies = list(pool.map(lambda pair: give(server.url, *pair), asked))
        again = list(pool.map(lambda pair: give(server.url, *pair), asked))
    assert {reply.status_code for reply in replies} == {200}
    assert {reply.status_code for reply in again} == {410}
    assert give(server.url, "never-asked", "positive").status_code == 404
    assert metric(server.url, "omnivec2_feedback_total", 'outcome="correct"') == 40
    assert metric(server.url, "omnivec2_live_accuracy") == 1


@pytest.mark.parametrize("example", examples(ROOT / "docs" / "monitoring.md"), ids=lambda e: e.name)
def test_the_documented_feedback_runs(example: Example, server: RunningServer) -> None:
    code = example.code.replace(ADDRESS, server.url)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # The one example shows what the service remembers, the other what the client makes of it.
    assert "'truth': ['positive']" in done.stdout or done.stdout == "correct\n"


def test_drift_stays_below_its_level_until_other_inputs_come(server: RunningServer) -> None:
    def drift() -> tuple[float | None, float | None]:
        names = ("omnivec2_drift_distance", "omnivec2_drift_alert_level")
        values = [metric(server.url, name) for name in names]
        return values[0], values[1]

    def send(texts: list[str]) -> None:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda text: ask(server.url, text), texts))

    send(TEXTS)
    wait_until(lambda: drift()[0] is not None)
    distance, level = drift()
    assert distance is not None
    assert level is not None
    assert distance < level
    # The summary of this trunk is the sum of the ids: longer texts are others.
    send(["an unusually verbose and quite exceptionally meandering review " * 4] * 100)
    wait_until(lambda: (drift()[0] or 0) > level)


def test_every_process_writes_events_to_a_file_of_its_own(server: RunningServer, log: Path) -> None:
    def events() -> list[dict[str, Any]]:
        files = sorted(log.parent.glob("events.*.jsonl"))
        assert len(files) == PROCESSES
        return [json.loads(line) for file in files for line in file.read_text().splitlines()]

    request_id, _ = ask(server.url, "a last one")
    wait_until(lambda: any(event["data"]["request_id"] == request_id for event in events()))
    (event,) = (event for event in events() if event["data"]["request_id"] == request_id)
    assert event["data"]["heads"][0]["distance"] > 0
    assert "inputs" not in event["data"]


@needs_store
def test_a_gateway_takes_feedback_on_what_another_answered(repository: Path) -> None:
    options = ("--model-repo", str(repository), "--checkpoint", "none")
    with running_store() as store:
        settings = {
            "feedback_answers": 1000,
            "shared_state_url": store.url,
            "shared_state_timeout_seconds": 5,
        }
        with (
            running_server(*options, settings=settings) as one,
            running_server(*options, settings=settings) as other,
        ):
            request_id, label = ask(one.url, TEXTS[0])
            wait_until(lambda: give(other.url, request_id, label).status_code != 404)
            assert give(other.url, request_id, label).status_code == 410
            assert give(one.url, request_id, label).status_code == 410
            assert metric(other.url, "omnivec2_feedback_total") == 1
            request_id, label = ask(other.url, TEXTS[1])
            store.kill()
            # The store is away: its own gateway knows what it answered.
            assert give(other.url, request_id, label).status_code == 200


def test_events_reach_an_endpoint_in_batches(repository: Path) -> None:
    batches: list[list[dict[str, Any]]] = []

    class Endpoint(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            batches.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            # The first batch is refused for a moment.
            self.send_response(503 if len(batches) == 1 else 202)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    endpoint = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=endpoint.serve_forever, daemon=True).start()
    settings = {
        "payload_log": f"http://127.0.0.1:{endpoint.server_port}/events",
        "payload_log_share": 1,
        "payload_log_inputs": "true",
        "payload_log_redact": json.dumps([r"secret\w*"]),
    }
    options = ("--model-repo", str(repository), "--checkpoint", "none")
    with running_server(*options, settings=settings) as server:
        asked = {ask(server.url, f"secret{number}")[0] for number in range(10)}
    # The gateway has sent what waited when it stopped.
    endpoint.shutdown()
    endpoint.server_close()
    received = [event for batch in batches[1:] for event in batch]
    assert {event["data"]["request_id"] for event in received} == asked
    assert {event["data"]["inputs"][0]["value"] for event in received} == {"[redacted]"}


def test_the_measurement_of_drift_tells_usual_inputs_from_others(repository: Path) -> None:
    others = [f"{text} and so on and on and on and on and on {text}" * 3 for text in TEXTS]
    case = DriftCase("text/sentiment", TEXTS, [], {"long": others})
    usual, long = measure_drift(case, repository, 3, make_console(stderr=True))
    assert (usual["windows"], usual["alerts"], usual["window"]) == (3, 0, 50)
    assert (long["windows"], long["alerts"], long["window"]) == (1, 1, 100)
