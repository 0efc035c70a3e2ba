from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from service.runtimes.triton.endpoint import Endpoint
from service.runtimes.triton.pending_requests import PendingRequestsPoller, count_pending
from service.runtimes.triton.server_names import ServerName

METRICS = b"""\
# HELP nv_inference_pending_request_count Instantaneous number of pending requests
# TYPE nv_inference_pending_request_count gauge
nv_inference_pending_request_count{model="trunk",version="1"} 5
nv_inference_pending_request_count{model="image_classification",version="2"} 2
nv_inference_count{model="trunk",version="1"} 991
"""


def test_pending_requests_are_added_up_over_models() -> None:
    assert count_pending(METRICS) == 7
    assert count_pending(b"nv_inference_count{} 3\n") is None


def run(answer: bytes, test: Callable[[Endpoint], Awaitable[None]]) -> None:
    """Run a test with an endpoint that is polled, whose metrics answer in this way."""

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(respond, "127.0.0.1")
        endpoint = Endpoint(ServerName("127.0.0.1", 8001), "127.0.0.1")
        endpoint.is_up = True
        poller = PendingRequestsPoller(server.sockets[0].getsockname()[1], lambda: [endpoint])
        polling = asyncio.create_task(poller.run())
        try:
            await test(endpoint)
        finally:
            polling.cancel()
            await asyncio.wait((polling,))
            await endpoint.close()
            server.close()

    asyncio.run(main())


def test_the_requests_of_others_are_those_that_wait_without_the_own_ones() -> None:
    async def test(endpoint: Endpoint) -> None:
        endpoint.in_flight = 3
        async with asyncio.timeout(5):
            while endpoint.pending_elsewhere != 4:
                await asyncio.sleep(0.01)

    run(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + METRICS, test)


def test_a_server_that_reports_nothing_is_balanced_by_own_requests() -> None:
    async def test(endpoint: Endpoint) -> None:
        endpoint.record_pending(9)
        assert endpoint.pending_elsewhere == 9
        async with asyncio.timeout(5):
            while endpoint.pending_elsewhere is not None:
                await asyncio.sleep(0.05)

    for answer in (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", b"", b"nonsense\r\n"):
        run(answer, test)
