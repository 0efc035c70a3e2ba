"""One of two gateways behind a balancer is stopped and started again under load."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.support.documents import ROOT
from tests.support.gateways.balancer import Balancer, running_balancer
from tests.support.gateways.servers import RunningServer, running_server
from tests.support.model_repositories.tiny_models import tiny_heads, write_repository
from tests.support.waiting import wait_until

CLIENTS = 6
FILES = {
    "image/classification": "image/blood_smear.jpg",
    "text/sentiment": "text/review.txt",
    "graph/solubility": "graph/caffeine.smi",
    "audio/events": "audio/dog_bark.ogg",
    "imu/activity": "imu/walk.csv",
}


class Load:
    """Clients that send requests to several heads through one address until the block ends."""

    def __init__(self, url: str) -> None:
        self.statuses: Counter[int] = Counter()
        self.broken: list[str] = []
        self._url = url
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._client, args=(n,)) for n in range(CLIENTS)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _client(self, number: int) -> None:
        bodies = {r: (ROOT / "tests/data" / name).read_bytes() for r, name in FILES.items()}
        routes = list(bodies)
        with httpx.Client(base_url=self._url, timeout=30) as client:
            while not self._stop.is_set():
                number += 1
                route = routes[number % len(routes)]
                try:
                    answer = client.post(f"/predict/{route}", content=bodies[route])
                    self.statuses[answer.status_code] += 1
                except httpx.HTTPError as error:
                    self.broken.append(repr(error))


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    heads = [head for head in tiny_heads() if head.route in FILES]
    return write_repository(tmp_path_factory.mktemp("repository"), heads)


def ports() -> Iterator[int]:
    """Two ports that were free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("", 0)) as other:
        found = [s.getsockname()[1] for s in (one, other)]
    yield from found


def gateway(stack: ExitStack, repository: Path, port: int) -> RunningServer:
    options = ("--model-repo", str(repository), "--checkpoint", "none")
    server = stack.enter_context(running_server(*options, port=port))
    wait_until(lambda: ready(server), f"the gateway on {port} is ready", 120)
    return server


def ready(server: RunningServer) -> bool:
    try:
        return httpx.get(f"{server.url}/readyz", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def answers_more(balancer: Balancer, *backends: int) -> bool:
    """Whether each of these backends answers requests from now on."""
    before = dict(balancer.answered)
    time.sleep(1)
    return all(balancer.answered[port] > before.get(port, 0) for port in backends)


def test_no_answer_is_lost_when_one_of_two_gateways_is_stopped_and_started_again(
    repository: Path,
) -> None:
    first, second = ports()
    with ExitStack() as stack:
        stays = gateway(stack, repository, second)
        goes = gateway(stack, repository, first)
        balancer = stack.enter_context(running_balancer(first, second))
        with Load(f"http://127.0.0.1:{balancer.port}") as load:
            wait_until(lambda: answers_more(balancer, first, second), "both gateways answer")
            goes.process.terminate()
            assert goes.process.wait(30) == 0
            stopped_at = balancer.answered[first]
            wait_until(lambda: answers_more(balancer, second), "the other one goes on")
            assert balancer.answered[first] == stopped_at
            gateway(stack, repository, first)
            wait_until(lambda: answers_more(balancer, first, second), "both gateways answer again")
        assert stays.process.poll() is None
    assert load.broken == []
    assert load.statuses.keys() == {200}, load.statuses
    assert load.statuses[200] > 10 * CLIENTS
