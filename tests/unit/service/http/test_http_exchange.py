"""An exchange over HTTP: its headers, a client that disconnects, failures as responses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response

from omnivec2.errors import InvalidParameterError, ModelNotReadyError
from service.gateway import Gateway
from service.http.http_exchange import HttpExchange, answer_headers
from service.pipeline.answers import Timings
from service.settings import Settings
from tests.support.requests.asgi import SENTIMENT
from tests.support.service_parts.service_fakes import FakeRuntime

Answer = Callable[[], Awaitable[Response]]


class Client:
    """A client of a gateway: what it sends in its headers, and whether it hangs up."""

    def __init__(self, *, leaves: bool = False, **headers: str) -> None:
        self.runtime = FakeRuntime(SENTIMENT)
        self.gateway = Gateway(Settings(request_timeout_seconds=10), self.runtime)
        self._leaves = leaves
        raw = [(k.replace("_", "-").lower().encode(), v.encode()) for k, v in headers.items()]
        self.scope: dict[str, Any] = {
            "type": "http",
            "method": "POST",
            "path": "/here",
            "headers": raw,
            "app": SimpleNamespace(state=SimpleNamespace(gateway=self.gateway)),
        }

    async def _receive(self) -> dict[str, Any]:
        if not self._leaves:
            await asyncio.sleep(60)
        return {"type": "http.disconnect"}

    def exchange(self) -> HttpExchange:
        return HttpExchange(Request(self.scope, self._receive), "/route")

    async def send(self, answer: Answer) -> Response:
        """Return the response to a request whose body is not read."""
        exchange = self.exchange()

        async def respond() -> Response:
            exchange.open_for(list(self.runtime.models().values()))
            async with exchange.admitted("file", 0, exchange.timeout_seconds()):
                return await exchange.answer_unless_disconnected(answer())

        return await exchange.respond(respond)

    def counted(self) -> list[str]:
        """Return the statuses of counted requests."""
        return [
            line.partition('status="')[2].partition('"')[0]
            for line in self.gateway.metrics.exposition().decode().splitlines()
            if line.startswith("omnivec2_requests_total{") and line.endswith(" 1.0")
        ]


async def wait() -> Response:
    await asyncio.sleep(60)
    return Response(b"late")


async def fail() -> Response:
    raise ModelNotReadyError("loading")


async def break_down() -> Response:
    raise ZeroDivisionError("a defect")


async def succeed() -> Response:
    return Response(b"ok")


@pytest.mark.parametrize(
    ("answer", "leaves", "timeout", "status"),
    [
        (succeed, False, "5", 200),
        (fail, False, "5", 503),
        (wait, False, "0.02", 504),
        (wait, True, "5", 499),
        (succeed, False, "soon", 422),
    ],
)
def test_an_exchange_is_counted_once_with_the_status_of_its_response(
    answer: Answer, leaves: bool, timeout: str, status: int
) -> None:
    client = Client(leaves=leaves, X_Request_Timeout=timeout)
    response = asyncio.run(client.send(answer))
    assert response.status_code == status
    assert client.counted() == [str(status)]
    assert client.gateway.admission.requests == 0


def test_a_defect_is_left_to_the_application() -> None:
    with pytest.raises(ZeroDivisionError):
        asyncio.run(Client().send(break_down))


@pytest.mark.parametrize(("header", "seconds"), [(None, 10), ("2.5", 2.5), ("60", 10)])
def test_the_time_for_an_answer_is_the_callers_up_to_the_setting(
    header: str | None, seconds: float
) -> None:
    client = Client() if header is None else Client(X_Request_Timeout=header)
    assert client.exchange().timeout_seconds() == seconds


@pytest.mark.parametrize("header", ["soon", "0", "-1", "nan"])
def test_a_time_that_is_not_positive_is_refused(header: str) -> None:
    with pytest.raises(InvalidParameterError):
        Client(X_Request_Timeout=header).exchange().timeout_seconds()


def test_the_access_log_is_given_the_route_and_the_models() -> None:
    client = Client()
    asyncio.run(client.send(succeed))
    assert client.scope["state"]["route"] == "/route"
    assert client.scope["state"]["model"] == "text_sentiment"


def test_the_headers_of_an_answer_name_its_models_and_time_its_stages() -> None:
    models = list(FakeRuntime(SENTIMENT).models().values()) * 2
    headers = answer_headers(models, Timings(decode=0.001, compute=0.25))
    assert headers["X-Model"] == "text_sentiment,text_sentiment"
    assert headers["X-Model-Version"] == "7,7"
    assert headers["Server-Timing"] == (
        "decode;dur=1.00, preprocess;dur=0.00, queue;dur=0.00, compute;dur=250.00, "
        "postprocess;dur=0.00"
    )
