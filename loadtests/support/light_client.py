"""Keep-alive clients that cost little: raw HTTP over asyncio's protocols, in a process of its own.

The cores are those of the service that is measured, so what the clients take is missing there.
These parse no more of an answer than its status and its length, and run at low priority::

    python -m loadtests.support.light_client --port 8080 --path /predict/text/sentiment \\
        --file review.txt --content-type text/plain --clients 16 --seconds 5
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import uvloop

from loadtests.support.measured_gateway import ROOT, Load

_NICE_STEPS = 10
_PATIENCE_SECONDS = 30.0
"""The longest time that is waited for the last answers."""
_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = b"content-length:"


@dataclass(frozen=True)
class Post:
    """A request that the clients send again and again.

    Attributes:
        path: The path of the URL.
        body: The body.
        content_type: The content type of the body.
    """

    path: str
    body: bytes
    content_type: str

    def encode(self) -> bytes:
        """Return the request as it goes over the wire."""
        head = (
            f"POST {self.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {self.content_type}"
            f"\r\nContent-Length: {len(self.body)}\r\n\r\n"
        )
        return head.encode() + self.body


class _Client(asyncio.Protocol):
    """One connection; it sends the next request as soon as it has an answer.

    Args:
        request: The request as it goes over the wire.
        until: The value of ``time.perf_counter()`` after which no request is sent.
        latencies: The list that latencies in seconds are added to.
        done: The future that is resolved after the last answer.
    """

    def __init__(
        self, request: bytes, until: float, latencies: list[float], done: asyncio.Future[None]
    ) -> None:
        self._request = request
        self._until = until
        self._latencies = latencies
        self._done = done
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        # uvloop's transports derive from none of asyncio's.
        self._transport = cast(asyncio.WriteTransport, transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        """Take an answer, or a part of one."""
        self._received = self._received + data if self._received else data
        end = self._received.find(_END_OF_HEAD)
        if end < 0:
            return
        head = self._received[:end].lower()
        start = head.index(_LENGTH) + len(_LENGTH)
        length = int(head[start:].partition(b"\r")[0])
        if len(self._received) < end + len(_END_OF_HEAD) + length:
            return
        if head[9:12] != b"200":
            self._fail(RuntimeError(f"answered {self._received[:400]!r}"))
            return
        self._latencies.append(time.perf_counter() - self._sent)
        self._received = b""
        if time.perf_counter() < self._until:
            self._send()
            return
        self._transport.close()
        if not self._done.done():
            self._done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail if the service closed the connection."""
        self._fail(RuntimeError("the connection was closed"))

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._request)

    def _fail(self, error: Exception) -> None:
        if not self._done.done():
            self._done.set_exception(error)


async def send_posts(port: int, post: Post, clients: int, seconds: float) -> Load:
    """Run clients in this process for a time; each waits for an answer before it sends again.

    Args:
        port: The port on loopback.
        post: The request.
        clients: The number of connections.
        seconds: The time in which requests are sent.

    Raises:
        RuntimeError: An answer is not 200, or a connection was closed.
    """
    loop = asyncio.get_running_loop()
    latencies: list[float] = []
    started = time.perf_counter()
    done: list[asyncio.Future[None]] = [loop.create_future() for _ in range(clients)]
    transports: list[asyncio.BaseTransport] = []
    try:
        for future in done:

            def client(future: asyncio.Future[None] = future) -> _Client:
                return _Client(post.encode(), started + seconds, latencies, future)

            opened, _ = await loop.create_connection(client, "127.0.0.1", port)
            transports.append(opened)
        async with asyncio.timeout(seconds + _PATIENCE_SECONDS):
            await asyncio.gather(*done)
    finally:
        for transport in transports:
            transport.close()
    return Load(len(latencies) / (time.perf_counter() - started), latencies)


def run_clients(port: int, post: Post, clients: int, seconds: float) -> Load:
    """Run clients in a process of low priority; see ``send_posts``."""
    command = [
        *(sys.executable, "-m", "loadtests.support.light_client"),
        *("--port", str(port), "--path", post.path, "--content-type", post.content_type),
        *("--clients", str(clients), "--seconds", str(seconds)),
    ]
    done = subprocess.run(command, cwd=ROOT, check=True, input=post.body, stdout=subprocess.PIPE)
    found = json.loads(done.stdout)
    return Load(found["rate"], found["seconds"])


def main() -> None:
    """Run the clients of the command line and print their rate and latencies as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", required=True)
    parser.add_argument("--file", type=Path, help="the body; standard input if left out")
    parser.add_argument("--content-type", required=True)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    os.nice(_NICE_STEPS)
    body = options.file.read_bytes() if options.file else sys.stdin.buffer.read()
    post = Post(options.path, body, options.content_type)
    load = uvloop.run(send_posts(options.port, post, options.clients, options.seconds))
    print(json.dumps({"rate": load.rate, "seconds": [round(s, 6) for s in load.seconds]}))


if __name__ == "__main__":
    main()
