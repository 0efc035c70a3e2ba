"""A small balancer before several gateways, as nginx is one: for the tests of rolling restarts.

A request goes to the next backend whose ``/readyz`` answers 200. As nginx does with POST, it is
sent to another one only if the connection is refused, or if the answer is 503: nothing was worked
on then. A connection that breaks once the request is sent is a failure (502), which a client sees.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_CHECK_SECONDS = 0.25
_BROKEN = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"
_LENGTH = re.compile(rb"^content-length:\s*(\d+)", re.IGNORECASE | re.MULTILINE)


class Balancer:
    """Balances over ports of 127.0.0.1; ``answered`` counts answers by backend."""

    def __init__(self, *backends: int) -> None:
        self._backends = backends
        self._up: set[int] = set()
        self._turn = 0
        self.answered: Counter[int] = Counter()
        self.retried = 0
        self.port = 0

    async def serve(self, ready: threading.Event, stop: asyncio.Event) -> None:
        """Serve until told to stop."""
        checks = [asyncio.create_task(self._check(port)) for port in self._backends]
        server = await asyncio.start_server(self._client, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await stop.wait()
        server.close()
        for check in checks:
            check.cancel()

    async def _check(self, port: int) -> None:
        request = b"GET /readyz HTTP/1.1\r\nHost: balancer\r\nConnection: close\r\n\r\n"
        while True:
            answer = None
            with suppress(TimeoutError):
                async with asyncio.timeout(2):
                    answer = await _ask(port, request)
            is_up = answer is not None and answer[9:12] == b"200"
            (self._up.add if is_up else self._up.discard)(port)
            await asyncio.sleep(_CHECK_SECONDS)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of a client, for as many requests as it sends."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                writer.write(await self._forward(await _message(reader)))
                await writer.drain()
        writer.close()

    async def _forward(self, request: bytes) -> bytes:
        head, _, body = request.partition(b"\r\n\r\n")
        # A connection per request: what is drained closes them, which must not be a race.
        request = head + b"\r\nConnection: close\r\n\r\n" + body
        answer = None
        for attempt, port in enumerate(self._order()):
            self.retried += attempt > 0
            answer = await _ask(port, request) or answer
            if answer is not None and answer[9:12] != b"503":
                self.answered[port] += 1
                break
            self._up.discard(port)
        if answer is None:
            return _BROKEN
        return re.sub(rb"(?i)connection: close\r\n", b"", answer, count=1)

    def _order(self) -> list[int]:
        """Those that are up, in turn; then the others, in case a check is late."""
        self._turn += 1
        up = [port for port in self._backends if port in self._up]
        first = up[self._turn % len(up) :] + up[: self._turn % len(up)] if up else []
        return first + [port for port in self._backends if port not in self._up]


async def _ask(port: int, request: bytes) -> bytes | None:
    """The whole answer, or None if the connection is refused."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return None
    try:
        writer.write(request)
        return await _message(reader)
    except (asyncio.IncompleteReadError, ConnectionError):
        return _BROKEN
    finally:
        writer.close()


async def _message(reader: asyncio.StreamReader) -> bytes:
    """Head and body of a request or an answer of a declared length."""
    head = await reader.readuntil(b"\r\n\r\n")
    found = _LENGTH.search(head)
    return head + (await reader.readexactly(int(found[1])) if found else b"")


@contextmanager
def running_balancer(*backends: int) -> Iterator[Balancer]:
    """Balance over these ports until the block ends."""
    balancer, ready = Balancer(*backends), threading.Event()
    loop, stop = asyncio.new_event_loop(), asyncio.Event()

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(balancer.serve(ready, stop))

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(10)
    try:
        yield balancer
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
