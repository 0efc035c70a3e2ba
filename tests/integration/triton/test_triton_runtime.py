"""The gateway in front of Triton servers that crash, restart, fill up, and load other models."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from loadtests.support.free_ports import free_ports
from loadtests.support.triton_server import TritonServer, running_triton
from tests.support.gateways.servers import RunningServer, running_server
from tests.support.model_repositories.tiny_models import tiny_heads, write_repository
from tests.support.waiting import wait_until

SENTIMENT = "/predict/text/sentiment"
HEADS = [head for head in tiny_heads() if head.modality.value == "text"]
PROBLEM = "application/problem+json"
BODY = {"inputs": "a moving, honest film"}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_repository(tmp_path_factory.mktemp("repository"), HEADS)


@contextmanager
def gateway(*tritons: TritonServer, **settings: object) -> Iterator[RunningServer]:
    """Start a gateway in front of these servers."""
    addresses = ",".join(triton.grpc for triton in tritons)
    with running_server("--triton", addresses, settings=settings) as server:
        yield server


class Load:
    """Clients that send requests without a pause until the block ends.

    Attributes:
        statuses: The number of answers of each status.
        slowest: The time of the slowest answer, in seconds.
    """

    def __init__(self, url: str, clients: int) -> None:
        self.statuses: Counter[int] = Counter()
        self.slowest = 0.0
        self._url = url
        self._over = threading.Event()
        self._pool = ThreadPoolExecutor(clients)
        self._clients = clients

    def __enter__(self) -> Load:
        self._runs = [self._pool.submit(self._run) for _ in range(self._clients)]
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for run in self._runs:
            run.result(30)
        self._pool.shutdown()

    def _run(self) -> None:
        with httpx.Client(base_url=self._url, timeout=30) as client:
            while not self._over.is_set():
                started = time.monotonic()
                answer = client.post(SENTIMENT, json=BODY)
                self.slowest = max(self.slowest, time.monotonic() - started)
                self.statuses[answer.status_code] += 1


def inferences(triton: TritonServer, model: str = "text_sentiment") -> int:
    """Return the number of rows that a server has answered since it started."""
    stats = httpx.get(f"{triton.http}/v2/models/{model}/stats", timeout=5).json()
    return int(stats["model_stats"][0]["inference_count"])


def test_a_server_that_is_killed_under_load_loses_no_answer(repository: Path) -> None:
    with (
        running_triton(repository) as one,
        running_triton(repository) as other,
        gateway(one, other) as server,
        Load(server.url, 4) as load,
    ):
        wait_until(lambda: min(inferences(one), inferences(other)) > 20, "both carry load")
        one.kill()
        before = inferences(other)
        wait_until(lambda: inferences(other) > before + 20, "the other carries all load")
        one.start()
        began = inferences(one)
        wait_until(lambda: inferences(one) > began + 20, "it carries load again")
        before = inferences(other)
        wait_until(lambda: inferences(other) > before + 20, "the other still does")
    assert set(load.statuses) == {200}
    assert load.slowest < 5


def test_without_servers_the_answer_is_503_at_once_until_they_are_back(repository: Path) -> None:
    with (
        running_triton(repository) as one,
        running_triton(repository) as other,
        gateway(one, other) as server,
        httpx.Client(base_url=server.url, timeout=20) as client,
    ):
        assert client.post(SENTIMENT, json=BODY).status_code == 200
        one.kill()
        other.kill()
        for _ in range(3):
            started = time.monotonic()
            answer = client.post(SENTIMENT, json=BODY)
            # A gateway that waited for them would take the twenty seconds of the client.
            assert time.monotonic() - started < 5
            assert answer.status_code == 503
            assert answer.headers["content-type"] == PROBLEM
            assert "no Triton server" in answer.json()["detail"]
        assert client.get("/readyz").status_code == 503
        assert client.get("/healthz").status_code == 200
        other.start()
        wait_until(lambda: client.post(SENTIMENT, json=BODY).status_code == 200, "it recovers", 20)
        assert client.get("/readyz").status_code == 200


def test_a_gateway_that_comes_first_waits_for_its_servers(repository: Path) -> None:
    with running_triton(repository) as triton:
        triton.stop()
        (port,) = free_ports(1)
        with running_server("--triton", triton.grpc, port=port) as server:
            wait_until(lambda: alive(server), "it is alive", 30)
            answer = httpx.post(server.url + SENTIMENT, json=BODY)
            assert (answer.status_code, answer.headers["content-type"]) == (503, PROBLEM)
            triton.start()
            wait_until(
                lambda: httpx.post(server.url + SENTIMENT, json=BODY).status_code == 200,
                "it answers",
                30,
            )


def alive(server: RunningServer) -> bool:
    try:
        return httpx.get(server.url + "/healthz").status_code == 200
    except httpx.TransportError:
        return False


def test_a_full_queue_is_429_with_the_time_to_come_back(tmp_path: Path) -> None:
    (head,) = (head for head in HEADS if head.task == "sentiment")
    root = write_repository(tmp_path, [head])
    config = root / head.name / "config.pbtxt"
    text = config.read_text()
    # A queue of two that waits for company which never comes in time.
    for setting, value in (
        ("max_queue_size: 256", "max_queue_size: 2"),
        ("max_queue_delay_microseconds: 500", "max_queue_delay_microseconds: 2000000"),
    ):
        assert setting in text
        text = text.replace(setting, value)
    config.write_text("\n".join(x for x in text.splitlines() if "preferred_batch_size" not in x))
    with running_triton(root) as triton, gateway(triton) as server:

        def ask(_: int) -> httpx.Response:
            return httpx.post(server.url + SENTIMENT, json=BODY, timeout=20)

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(ask, range(8)))
    full = [answer for answer in answers if answer.status_code == 429]
    assert full
    assert {answer.status_code for answer in answers} <= {200, 429}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in full)
    assert all(answer.headers["content-type"] == PROBLEM for answer in full)


def test_routes_follow_the_models_that_triton_loads_and_unloads(repository: Path) -> None:
    options = ("--model-control-mode", "explicit")
    with (
        running_triton(repository, *options) as triton,
        gateway(triton, refresh_seconds=0.2) as server,
        httpx.Client(base_url=server.url, timeout=20) as client,
    ):

        def status() -> int:
            return client.post(SENTIMENT, json=BODY).status_code

        def control(action: str) -> None:
            path = f"/v2/repository/models/text_sentiment/{action}"
            assert httpx.post(triton.http + path, timeout=60).status_code == 200

        assert status() == 200
        control("unload")
        wait_until(lambda: status() == 404, "the route goes", 30)
        assert SENTIMENT not in client.get("/openapi.json").json()["paths"]
        control("load")
        wait_until(lambda: status() == 200, "the route comes back", 30)
