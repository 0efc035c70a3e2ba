"""A gateway that gets a stop signal under load drops no request."""

from __future__ import annotations

import http.client
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import numpy as np
import pytest
import requests
import tritonclient.grpc as triton
from tritonclient.utils import triton_to_np_dtype

from tests.support.documents import ROOT
from tests.support.gateways.servers import RunningServer, running_server
from tests.support.model_repositories.tiny_models import tiny_heads, write_repository

ROUTE = "/predict/text/sentiment"


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    heads = [head for head in tiny_heads() if ROUTE.endswith(head.route)]
    root = write_repository(tmp_path_factory.mktemp("repository"), heads)
    return ("--model-repo", str(root), "--checkpoint", "none")


class Caller:
    """A load balancer's connection, kept open as long as the gateway keeps it.

    Attributes:
        statuses: The number of answers of each status.
        failure: The first error that a load balancer could not retry; empty if there was none.
    """

    def __init__(self, url: str, halt: threading.Event) -> None:
        self._address = urlsplit(url).netloc
        self._halt = halt
        self.statuses: Counter[int] = Counter()
        self.failure = ""
        self.thread = threading.Thread(target=self._call)
        self.thread.start()

    def _call(self) -> None:
        connection: http.client.HTTPConnection | None = None
        while not self._halt.is_set():
            if connection is None:
                connection = http.client.HTTPConnection(self._address, timeout=20)
                try:
                    connection.connect()
                except ConnectionRefusedError:
                    return  # the balancer would send it to another
            try:
                connection.request("POST", ROUTE, b"good", {"Content-Type": "text/plain"})
                response = connection.getresponse()
                response.read()
            except (OSError, http.client.HTTPException) as error:
                self.failure = repr(error)
                return
            self.statuses[response.status] += 1
            if response.headers.get("Connection") == "close":
                connection.close()
                connection = None


@contextmanager
def callers(url: str, count: int) -> Iterator[list[Caller]]:
    halt = threading.Event()
    running = [Caller(url, halt) for _ in range(count)]
    try:
        yield running
    finally:
        halt.set()
        for caller in running:
            caller.thread.join(20)


def ready_status(server: RunningServer) -> int:
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


def test_under_load_every_accepted_request_is_answered(options: tuple[str, ...]) -> None:
    with running_server(*options) as server, callers(server.url, 12) as running:
        time.sleep(1.0)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) == 0
    statuses: Counter[int] = sum((caller.statuses for caller in running), Counter())
    assert [caller.failure for caller in running if caller.failure] == []
    assert statuses.keys() <= {200, 429}
    assert statuses[200] > 50


def test_balancers_are_given_time_to_notice(options: tuple[str, ...]) -> None:
    settings = {"drain_delay_seconds": 5.0}
    with running_server(*options, settings=settings) as server, callers(server.url, 2) as running:
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        assert ready_status(server) == 503
        before = sum(caller.statuses[200] for caller in running)
        time.sleep(0.3)
        assert sum(caller.statuses[200] for caller in running) > before
        assert server.process.wait(20) == 0
    assert [caller.failure for caller in running if caller.failure] == []


def test_a_request_that_is_still_arriving_is_answered(options: tuple[str, ...]) -> None:
    with running_server(*options) as server:
        address = urlsplit(server.url)
        with socket.create_connection((address.hostname, address.port), timeout=20) as connection:
            head = f"POST {ROUTE} HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n"
            connection.sendall(f"{head}Content-Length: 4\r\n\r\ngo".encode())
            time.sleep(0.2)
            server.process.send_signal(signal.SIGTERM)
            time.sleep(1.5)
            connection.sendall(b"od")
            answer = connection.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"connection: close" in answer.lower()
        assert server.process.wait(20) == 0


def test_an_idle_connection_does_not_keep_the_process(options: tuple[str, ...]) -> None:
    with running_server(*options) as server:
        address = urlsplit(server.url)
        with socket.create_connection((address.hostname, address.port), timeout=20) as connection:
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(5) == 0
            assert connection.recv(1) == b""


def test_a_second_signal_stops_the_process_at_once(options: tuple[str, ...]) -> None:
    with running_server(*options, settings={"drain_delay_seconds": 60}) as server:
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        assert server.process.poll() is None
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(5) == 1


def test_a_thread_that_does_not_come_back_is_seen_and_does_not_keep_the_process(
    options: tuple[str, ...],
) -> None:
    command = [sys.executable, "-m", "tests.support.gateways.stuck_gateway", options[1]]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            server = RunningServer(process.stdout.readline().split()[1], process)
            # The second of a list: a lone text is so cheap that the event loop prepares it.
            reply = requests.post(
                f"{server.url}{ROUTE}",
                json={"inputs": ["good", "stuck"]},
                headers={"X-Request-Timeout": "0.2"},
                timeout=20,
            )
            assert reply.status_code == 504
            last = time.monotonic() + 20
            while (status := ready_status(server)) == 200 and time.monotonic() < last:
                time.sleep(0.2)
            assert status == 503
            assert "stuck" in requests.get(f"{server.url}/readyz", timeout=5).json()["detail"]
            process.send_signal(signal.SIGTERM)
            assert process.wait(12) == 1
        finally:
            process.kill()


def test_grpc_calls_that_run_are_finished_too(options: tuple[str, ...]) -> None:
    with running_server(*options, "--grpc-port", "0") as server:
        client = triton.InferenceServerClient(server.grpc_address)
        ids = np.ones((1, 8), np.int32)
        tensors = []
        for tensor in client.get_model_metadata("text_sentiment").inputs:
            tensors.append(triton.InferInput(tensor.name, [1, 8], tensor.datatype))
            tensors[-1].set_data_from_numpy(ids.astype(triton_to_np_dtype(tensor.datatype)))
        answered, failures = 0, []
        threading.Timer(0.5, server.process.send_signal, (signal.SIGTERM,)).start()
        last = time.monotonic() + 20
        while time.monotonic() < last:
            try:
                client.infer("text_sentiment", tensors)
                answered += 1
            except triton.InferenceServerException as error:
                failures.append(error.status())
                break
        client.close()
        assert answered > 0
        assert failures == ["StatusCode.UNAVAILABLE"]
        assert server.process.wait(20) == 0


def test_interrupted_by_hand_it_ends_as_shells_expect(options: tuple[str, ...]) -> None:
    with running_server(*options) as server:
        assert ready_status(server) == 200
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(20) == 130
