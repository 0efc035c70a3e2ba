"""``omnivec2 serve --processes``: several processes behave like one, and survive one of them."""

from __future__ import annotations

import os
import re
import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from tritonclient.grpc import InferenceServerClient

from tests.support.gateways.servers import RunningServer, running_server
from tests.support.model_repositories.tiny_models import tiny_heads, write_repository
from tests.support.waiting import wait_until

HEADS = [head for head in tiny_heads() if head.modality.value == "text"]
ROUTE = "/predict/text/sentiment"
BODY = {"inputs": "a moving, honest film"}
PROCESSES = 2


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_repository(tmp_path_factory.mktemp("repository"), HEADS)


@pytest.fixture
def server(repository: Path) -> Iterator[RunningServer]:
    options = ("--model-repo", str(repository), "--checkpoint", "none", "--grpc-port", "0")
    several = ("--processes", str(PROCESSES))
    settings = {"max_pending_requests": 64, "engine": "onnxruntime"}
    with running_server(*options, *several, settings=settings) as running:
        yield running


def children(server: RunningServer) -> list[int]:
    """The processes that serve."""
    pid = server.process.pid
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def metric(url: str, sample: str) -> float:
    text = httpx.get(f"{url}/metrics", timeout=10).text
    return sum(float(found) for found in re.findall(rf"^{sample}(?:{{.*}})? (\S+)$", text, re.M))


def all_ready(server: RunningServer) -> bool:
    """Whether every process is ready: the limits of all are those of one."""
    return metric(server.url, "omnivec2_max_pending_requests") == 64


def post(url: str, requests: int, clients: int = 8) -> Counter[int]:
    """Send requests, each on a connection of its own, and count the statuses."""
    with ThreadPoolExecutor(clients) as pool:
        return Counter(
            pool.map(lambda _: httpx.post(f"{url}{ROUTE}", json=BODY).status_code, range(requests))
        )


def test_requests_over_all_processes_are_counted_together(server: RunningServer) -> None:
    wait_until(lambda: all_ready(server))
    assert len(children(server)) == PROCESSES
    assert post(server.url, 60) == {200: 60}
    for _ in range(4):  # whichever answers
        assert metric(server.url, "omnivec2_requests_total") == 60
    with InferenceServerClient(server.grpc_address) as client:
        assert client.is_server_ready()


def test_a_process_that_is_killed_is_replaced_and_the_others_answer_meanwhile(
    server: RunningServer,
) -> None:
    wait_until(lambda: all_ready(server))
    killed, kept = children(server)
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: killed not in children(server))
    assert post(server.url, 40) == {200: 40}
    wait_until(lambda: len(children(server)) == PROCESSES)
    assert kept in children(server)
    assert killed not in children(server)
    wait_until(lambda: all_ready(server))
    assert post(server.url, 20) == {200: 20}


def test_a_stop_under_load_breaks_no_request(server: RunningServer) -> None:
    wait_until(lambda: all_ready(server))
    serving = children(server)
    outcomes: Counter[str] = Counter()

    def ask_until_refused(_: int) -> None:
        while True:
            try:
                status = httpx.post(f"{server.url}{ROUTE}", json=BODY, timeout=20).status_code
                outcomes[str(status)] += 1
            except httpx.TransportError as error:
                outcomes[type(error).__name__] += 1
                return

    with ThreadPoolExecutor(4) as pool:
        asking = pool.map(ask_until_refused, range(4))
        wait_until(lambda: outcomes["200"] >= 20)
        server.process.send_signal(signal.SIGTERM)
        list(asking)
    assert server.process.wait(30) == 0
    # After the listener is closed; before that every request was answered.
    assert outcomes.keys() <= {"200", "503", "ConnectError"}
    assert outcomes["ConnectError"] == 4
    assert not any(Path(f"/proc/{pid}").exists() for pid in serving)


def test_without_onnx_runtime_alone_every_process_loads_its_own_models(repository: Path) -> None:
    options = ("--model-repo", str(repository), "--checkpoint", "none")
    settings = {"processes": PROCESSES, "metrics_port": 0}
    with running_server(*options, settings=settings) as server:
        assert post(server.url, 30) == {200: 30}
        base = server.metrics_url.removesuffix("/metrics")
        wait_until(lambda: metric(base, "omnivec2_requests_total") == 30)
