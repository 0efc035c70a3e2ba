"""A client of streamed answers without a socket: it reads events, may be slow, and may leave."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI


@dataclass(frozen=True)
class Event:
    """An event: its name, its id and its data."""

    name: str
    id: int
    data: Any


def parse_events(body: bytes) -> list[Event]:
    """Return the events of a stream's body; comments are skipped, anything else fails."""
    events = []
    for block in body.decode().split("\n\n"):
        if not block or block.startswith(":"):
            continue
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        assert set(fields) == {"event", "id", "data"}
        events.append(Event(fields["event"], int(fields["id"]), json.loads(fields["data"])))
    return events


class StreamClient:
    """The client of one request.

    Attributes:
        status: The status of the response; 0 before it.
        headers: The headers of the response.
        body: What has been received.
        left: Set it to hang up.
        reading: Clear it to read nothing more for a while.
    """

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.left = asyncio.Event()
        self.reading = asyncio.Event()
        self.reading.set()
        self.is_complete = False

    @property
    def events(self) -> list[Event]:
        return parse_events(self.body)

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {k.decode(): v.decode() for k, v in message["headers"]}
            return
        await self.reading.wait()
        self.body += message.get("body", b"")
        self.is_complete = not message.get("more_body", False)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.002)


@asynccontextmanager
async def streaming(
    app: FastAPI, path: str, body: Any, accept: str = "text/event-stream", **headers: str
) -> AsyncIterator[StreamClient]:
    """Send a JSON request, and yield its client; the block's end waits for the response's."""
    client = StreamClient()
    messages = [{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}]

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop()
        await client.left.wait()
        return {"type": "http.disconnect"}

    named = {"content-type": "application/json", "accept": accept, **headers}
    scope = {
        "type": "http",
        "method": "POST",
        "path": path.partition("?")[0],
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": path.partition("?")[2].encode(),
        "headers": [(k.replace("_", "-").encode(), v.encode()) for k, v in named.items()],
    }
    task = asyncio.create_task(app(scope, receive, client.send))
    try:
        yield client
        async with asyncio.timeout(10):
            await task
    finally:
        task.cancel()
