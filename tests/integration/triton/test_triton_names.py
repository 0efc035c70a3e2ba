"""Three gateways before Triton servers behind one name, which come, go, crash and restart.

The tests share their servers, in this order.
"""

from __future__ import annotations

import http.client
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import httpx
import pytest

from loadtests.support.free_ports import free_ports
from loadtests.support.triton_server import TritonServer, running_triton
from tests.support.gateways.named_gateway import ADDRESSES
from tests.support.gateways.servers import RunningServer, running_server
from tests.support.model_repositories.tiny_models import classification, write_repository
from tests.support.waiting import wait_until

SENTIMENT = "/predict/text/sentiment"
BODY = b"a moving, honest film"
HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4")
GATEWAYS = 3

T = TypeVar("T")


class Fleet:
    """Servers on one port of several addresses, the name of some, and gateways that know it."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        heads = [classification(f"text/{task}", "a", "b") for task in ("sentiment", "tone")]
        self._repository = write_repository(directory / "repository", heads)
        self._ports = free_ports(3)
        self._stack = stack
        self._addresses = directory / "addresses"
        self.servers = list(self._started([self._server(host) for host in HOSTS[:3]]))
        self.resolve_to(*self.servers)
        self.gateways = list(self._started([self._gateway() for _ in range(GATEWAYS)]))

    def _server(self, host: str, *options: str) -> AbstractContextManager[TritonServer]:
        mode = ("--model-control-mode", "explicit", *options)
        return running_triton(self._repository, *mode, host=host, ports=self._ports)

    def _gateway(self) -> AbstractContextManager[RunningServer]:
        return running_server(
            *("--triton", f"triton.test:{self._ports[1]}"),
            settings={"triton_metrics_port": self._ports[2], "isolate_decoders": False},
            environment={ADDRESSES: str(self._addresses)},
            module="tests.support.gateways.named_gateway",
        )

    def _started(self, processes: Sequence[AbstractContextManager[T]]) -> Iterator[T]:
        """Start processes at the same time, and yield them."""
        with ThreadPoolExecutor() as pool:
            yield from pool.map(self._stack.enter_context, processes)

    def resolve_to(self, *servers: TritonServer) -> None:
        """Change the addresses of the name."""
        written = self._addresses.with_suffix(".new")
        written.write_text("\n".join(urlsplit(server.http).hostname or "" for server in servers))
        written.replace(self._addresses)

    def add_server(self, *options: str) -> TritonServer:
        """Start one more server, which is not in the name yet."""
        started = self._started([self._server(HOSTS[len(self.servers)], *options)])
        self.servers.extend(started)
        return self.servers[-1]


class Load:
    """Clients of every gateway that send requests without a pause until the block ends."""

    def __init__(self, fleet: Fleet, clients: int = 2) -> None:
        self.statuses: Counter[int | str] = Counter()
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(urlsplit(gateway.url).netloc,))
            for gateway in fleet.gateways
            for _ in range(clients)
        ]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(60)

    @property
    def sent(self) -> int:
        return self.statuses.total()

    def _run(self, address: str) -> None:
        connection = http.client.HTTPConnection(address, timeout=30)
        while not self._over.is_set():
            try:
                connection.request("POST", SENTIMENT, BODY, {"Content-Type": "text/plain"})
                answer = connection.getresponse()
                answer.read()
                self.statuses[answer.status] += 1
            except OSError as error:
                self.statuses[repr(error)] += 1
                connection.close()
        connection.close()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with ExitStack() as stack:
        fleet = Fleet(tmp_path_factory.mktemp("fleet"), stack)
        yield fleet
        with ThreadPoolExecutor() as pool:
            list(pool.map(TritonServer.stop, fleet.servers))


def inferences(server: TritonServer, model: str = "text_sentiment") -> int:
    """The number of rows that a server has answered since it started."""
    stats = httpx.get(f"{server.http}/v2/models/{model}/stats", timeout=5).json()
    return int(stats["model_stats"][0]["inference_count"])


def carries_load(server: TritonServer, seconds: float = 15) -> float:
    """Wait until a server answers more requests, and return the seconds that it took."""
    before = inferences(server)
    return wait_until(lambda: inferences(server) > before, f"{server.grpc} carries load", seconds)


def test_the_load_splits_evenly_over_the_servers_of_a_name(fleet: Fleet) -> None:
    before = [inferences(server) for server in fleet.servers]
    with Load(fleet, 4) as load:
        wait_until(lambda: load.sent >= 1500, "1,500 requests", 60)
    assert set(load.statuses) == {200}
    rows = [inferences(s) - b for s, b in zip(fleet.servers, before, strict=True)]
    even = sum(rows) / len(rows)
    print(f"rows by server: {rows}")
    assert all(abs(count - even) <= 0.15 * even for count in rows)


def test_a_server_that_enters_the_name_gets_work_within_two_seconds(fleet: Fleet) -> None:
    fourth = fleet.add_server()
    warmed_up = inferences(fourth)
    with Load(fleet) as load:
        wait_until(lambda: load.sent > 50, "requests go on")
        assert inferences(fourth) == warmed_up
        fleet.resolve_to(*fleet.servers)
        seconds = wait_until(
            lambda: inferences(fourth) > warmed_up, "the fourth server gets work", 2
        )
        print(f"work after {seconds:.2f} s")
    assert set(load.statuses) == {200}


def test_a_server_that_leaves_the_name_gets_no_more_work_and_fails_no_request(
    fleet: Fleet,
) -> None:
    fourth = fleet.servers.pop()
    with Load(fleet) as load:
        carries_load(fourth)
        fleet.resolve_to(*fleet.servers)

        def is_idle() -> bool:
            before, sent = inferences(fourth), load.sent
            wait_until(lambda: load.sent > sent + 50, "requests go on")
            return inferences(fourth) == before

        wait_until(is_idle, "the fourth server is idle", 20)
        fourth.stop()
        sent = load.sent
        wait_until(lambda: load.sent > sent + 50, "requests go on")
    assert set(load.statuses) == {200}


def test_a_server_that_is_killed_under_load_fails_no_request(fleet: Fleet) -> None:
    with Load(fleet) as load:
        carries_load(fleet.servers[0])
        fleet.servers[0].kill()
        sent = load.sent
        wait_until(lambda: load.sent > sent + 100, "the others carry the load")
        fleet.servers[0].start()
        carries_load(fleet.servers[0])
    print(f"{load.sent} answers")
    assert set(load.statuses) == {200}


def test_a_rolling_restart_under_load_fails_no_request(fleet: Fleet) -> None:
    with Load(fleet) as load:
        for server in fleet.servers:
            carries_load(server)
            server.stop()
            server.start()
            carries_load(server)
    print(f"{load.sent} answers")
    assert set(load.statuses) == {200}


def test_a_server_that_comes_without_a_head_is_given_it(fleet: Fleet) -> None:
    late = fleet.add_server("--load-model", "text_tone")
    assert late.models()["text_sentiment"].get("state", "") != "READY"
    with Load(fleet) as load:
        fleet.resolve_to(*fleet.servers)
        wait_until(
            lambda: late.models()["text_sentiment"].get("state") == "READY",
            "the head is loaded",
            30,
        )
        carries_load(late)
    assert set(load.statuses) == {200}
