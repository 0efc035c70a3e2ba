"""Asking an application without a socket, as an ASGI server would."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI

from service.app import create_app
from service.settings import Settings
from tests.support.model_repositories.tiny_models import classification
from tests.support.service_parts.service_fakes import FakeRuntime

SENTIMENT = classification("text/sentiment", "no", "yes")
ROUTE = "/predict/text/sentiment"


class Reply:
    """What an application sent: status, headers (lower case) and body."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""

    async def __call__(self, message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {k.decode(): v.decode() for k, v in message["headers"]}
        else:
            self.body += message.get("body", b"")

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def ask(
    app: FastAPI,
    path: str,
    body: bytes = b"good",
    method: str = "POST",
    *,
    leaves: bool = False,
    query: str = "",
    reply: Reply | None = None,
    **headers: str,
) -> Reply:
    """One request, as an ASGI server would hand it over; ``leaves``: the caller hangs up."""
    reply = reply or Reply()
    messages: list[dict[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop()
        if not leaves:
            await asyncio.sleep(60)
        return {"type": "http.disconnect"}

    raw = [(k.replace("_", "-").lower().encode(), v.encode()) for k, v in headers.items()]
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": raw,
    }
    await app(scope, receive, reply)
    return reply


def run(
    test, runtime: FakeRuntime | None = None, *, load_seconds: float = 60, **settings: Any
) -> None:
    """Run a coroutine function with an application whose models are loaded."""

    async def main() -> None:
        app = create_app(Settings(**settings), runtime or FakeRuntime(SENTIMENT))
        async with app.router.lifespan_context(app):
            await asyncio.wait((app.state.gateway.loading,), timeout=load_seconds)
            await test(app)

    asyncio.run(main())
