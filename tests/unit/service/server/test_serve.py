"""The process of a gateway from its start to a signal: in this process, with tiny models."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from omnivec2.errors import ArtifactError
from service.gateway import Gateway
from service.observability.access_logger import LOGGER
from service.server.gateway_process import serve
from service.settings import Settings
from tests.support.gateways.process_state import process_state_restored
from tests.support.model_repositories.tiny_models import classification, write_repository


@pytest.fixture(autouse=True)
def process_as_before() -> Iterator[None]:
    with process_state_restored():
        yield


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    head = classification("text/sentiment", "negative", "positive")
    return write_repository(tmp_path_factory.mktemp("repository"), [head])


def settings(repository: Path, **fields: Any) -> Settings:
    values = {"port": 0, "model_repo": repository, "log_level": "error", "inference_threads": 1}
    return Settings(**{**values, **fields})


class Operator:
    """Asks a gateway for its models as soon as it is announced, then ends it with a signal.

    Attributes:
        address: The address that was announced.
        routes: The heads that were announced.
        answer: The answer to GET /models.
    """

    def __init__(self) -> None:
        self.address = ""
        self.routes: list[str] = []
        self.answer: Any = None
        self._thread = threading.Thread(target=self._ask_and_end)

    def __call__(self, address: str, gateway: Gateway) -> None:
        self.address = address
        self.routes = list(gateway.dataplane.heads)
        self._thread.start()

    def _ask_and_end(self) -> None:
        last = time.monotonic() + 60  # a signal before the server handles it would end the tests
        try:
            while self.answer is None and time.monotonic() < last:
                try:
                    headers = {"X-Forwarded-For": "203.0.113.9"}
                    asked = urllib.request.Request(f"{self.address}/models", headers=headers)
                    with urllib.request.urlopen(asked, timeout=5) as reply:
                        self.answer = json.load(reply)
                except (urllib.error.URLError, TimeoutError):
                    time.sleep(0.02)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    def join(self) -> None:
        self._thread.join(10)


def never(address: str, gateway: Gateway) -> None:
    raise AssertionError(f"announced {address}")


def served(made: Settings) -> Operator:
    operator = Operator()
    serve(made, operator)
    operator.join()
    return operator


def test_a_gateway_is_announced_once_it_answers_and_ends_quietly_on_a_signal(
    repository: Path,
) -> None:
    operator = served(settings(repository))
    assert operator.address.startswith("http://127.0.0.1:")
    assert operator.routes == ["text/sentiment"]
    assert [model["task"] for model in operator.answer["models"]] == ["sentiment"]


@pytest.mark.parametrize(("trusted", "client"), [("", "127.0.0.1"), ("127.0.0.1", "203.0.113.9")])
def test_only_a_named_proxy_is_believed_on_whom_it_speaks_for(
    repository: Path, trusted: str, client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FORWARDED_ALLOW_IPS", raising=False)
    if trusted:
        monkeypatch.setenv("FORWARDED_ALLOW_IPS", trusted)
    logged: list[Any] = []
    handler = logging.Handler()
    handler.emit = logged.append  # type: ignore[assignment,method-assign]
    logging.getLogger(LOGGER).addHandler(handler)
    try:
        served(settings(repository, log_level="info"))
    finally:
        logging.getLogger(LOGGER).removeHandler(handler)
    assert {record.client for record in logged} == {client}


def test_the_address_of_version_six_is_announced_in_brackets(repository: Path) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6 on its loopback")
    operator = served(settings(repository, host="::1"))
    assert operator.address.startswith("http://[::1]:")
    assert operator.answer is not None


def test_a_gateway_with_nothing_to_serve_ends_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=str(tmp_path)):
        serve(settings(tmp_path), never)


@pytest.mark.parametrize("host", ["127.0.0.1", "203.0.113.1"])
def test_an_address_that_cannot_be_listened_on_is_named_with_what_to_do(
    repository: Path, host: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        made = settings(repository, host=host, port=taken.getsockname()[1])
        with pytest.raises(ArtifactError, match=rf"{host}:{made.port}.*--port") as error:
            serve(made, never)
    assert isinstance(error.value.__cause__, OSError)
