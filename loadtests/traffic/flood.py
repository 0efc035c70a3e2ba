"""Send requests as fast as one small process can; a job from stdin, its result to stdout.

Locust's users cost about a millisecond of processor time per request. Ten times what a machine
can serve, from the same machine, must cost less: keep-alive connections, answers that are only
counted, and a low priority, because real load comes from elsewhere.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import sys
import time
from collections.abc import Iterator
from typing import Any, Literal
from urllib.parse import urlsplit

import httptools
import uvloop
from pydantic import BaseModel, ConfigDict

_LONGEST_SECONDS = 60.0
"""A request that takes longer counts as a broken connection."""


class Post(BaseModel):
    """A request that is sent repeatedly."""

    path: str
    headers: dict[str, str]
    body_base64: str


class Job(BaseModel):
    """The job of one process.

    ``closed``: ``clients`` send the next request as soon as they have an answer. ``open``:
    ``rate`` requests a second arrive, whatever happens to earlier ones. ``probe``: GET ``path``
    on a new connection every ``1 / rate`` seconds.
    """

    model_config = ConfigDict(extra="forbid")

    url: str
    kind: Literal["closed", "open", "probe"]
    seconds: float
    posts: list[Post] = []
    clients: int = 1
    rate: float = 10.0
    path: str = "/healthz"
    nice: int = 0


class Exchange(BaseModel):
    """One request and its answer.

    Attributes:
        at_seconds: The time at which it was due, from the start.
        seconds: The time from then to the complete answer.
        status: The answer's status; 0 where the connection broke.
        retry_after: The text of the ``Retry-After`` header.
    """

    at_seconds: float
    seconds: float
    status: int
    retry_after: str = ""


class Result(BaseModel):
    """All exchanges, and the processor time that this process spent on them."""

    exchanges: list[Exchange]
    cpu_seconds: float


class _Connection(asyncio.Protocol):
    """One keep-alive connection; one request at a time."""

    def __init__(self) -> None:
        self._waiter: asyncio.Future[None] | None = None
        self.status, self.retry_after, self.reusable = 0, "", False
        self._done = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    async def exchange(self, request: bytes) -> None:
        """Send a request and wait for the complete answer.

        Raises:
            ConnectionError: The connection broke.
        """
        self.status, self.retry_after, self._done = 0, "", False
        self._parser = httptools.HttpResponseParser(self)
        self._waiter = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        await self._waiter
        self.reusable = self._parser.should_keep_alive()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"retry-after":
            self.retry_after = value.decode("latin-1")

    def on_message_complete(self) -> None:
        self.status = self._parser.get_status_code()
        self._done = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.reusable = False
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(exc or ConnectionResetError("closed within the answer"))


class Flood:
    """Sends the requests of a job."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._address = urlsplit(job.url)
        self._idle: list[_Connection] = []
        self._exchanges: list[Exchange] = []
        self._requests = self._encoded()

    async def run(self) -> list[Exchange]:
        """Run the job and return all exchanges."""
        self._began = time.monotonic()
        await {"closed": self._closed, "open": self._open, "probe": self._probe}[self._job.kind]()
        for connection in self._idle:
            connection.transport.close()
        return self._exchanges

    async def _closed(self) -> None:
        async def client() -> None:
            while (at := time.monotonic() - self._began) < self._job.seconds:
                await self._exchange(next(self._requests), at)

        await asyncio.gather(*(client() for _ in range(self._job.clients)))

    async def _open(self) -> None:
        """Send each request at its due time; overdue ones are sent at once."""
        tasks: set[asyncio.Task[None]] = set()
        for number in range(int(self._job.seconds * self._job.rate)):
            at = number / self._job.rate
            if (early := at - (time.monotonic() - self._began)) > 0:
                await asyncio.sleep(early)
            task = asyncio.create_task(self._exchange(next(self._requests), at))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        if tasks:
            await asyncio.wait(tasks)

    async def _probe(self) -> None:
        head = f"GET {self._job.path} HTTP/1.1\r\nHost: {self._address.netloc}\r\n"
        request = (head + "Connection: close\r\n\r\n").encode()
        for number in range(int(self._job.seconds * self._job.rate)):
            early = number / self._job.rate - (time.monotonic() - self._began)
            await asyncio.sleep(max(0.0, early))
            await self._exchange(request, time.monotonic() - self._began)

    async def _exchange(self, request: bytes, at: float) -> None:
        status, retry_after = 0, ""
        try:
            async with asyncio.timeout(_LONGEST_SECONDS):
                connection = self._idle.pop() if self._idle else await self._connect()
                await connection.exchange(request)
            status, retry_after = connection.status, connection.retry_after
            if connection.reusable:
                self._idle.append(connection)
            else:
                connection.transport.close()
        except (OSError, TimeoutError):
            pass  # status 0
        seconds = time.monotonic() - self._began - at
        self._exchanges.append(
            Exchange(at_seconds=at, seconds=seconds, status=status, retry_after=retry_after)
        )

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        host, port = self._address.hostname, self._address.port
        if host is None or port is None:
            raise ValueError(f"{self._job.url} names no host and port")
        _, connection = await loop.create_connection(_Connection, host, port)
        return connection

    def _encoded(self) -> Iterator[bytes]:
        """Return an endless iterator over the encoded requests."""
        encoded = []
        for post in self._job.posts:
            body = base64.b64decode(post.body_base64)
            headers = {**post.headers, "Host": self._address.netloc, "Content-Length": len(body)}
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            encoded.append(f"POST {post.path} HTTP/1.1\r\n{lines}\r\n".encode() + body)
        return itertools.cycle(encoded)


def main() -> None:
    """Do the job."""
    job = Job.model_validate(json.load(sys.stdin))
    os.nice(job.nice)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        exchanges = runner.run(Flood(job).run())
    result = Result(exchanges=exchanges, cpu_seconds=time.process_time())
    sys.stdout.write(result.model_dump_json())


if __name__ == "__main__":
    main()
