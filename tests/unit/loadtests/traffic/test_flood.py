"""The process that sends many requests: what it counts as an answer, and when it sends."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence

import pytest
from pydantic import ValidationError

from loadtests.traffic.flood import Exchange, Flood, Job

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SHED = b"HTTP/1.1 429 No\r\nRetry-After: 3\r\nContent-Length: 0\r\n\r\n"
LAST = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"
POSTS = [
    {"path": path, "headers": {"X-A": "b"}, "body_base64": base64.b64encode(body).decode()}
    for path, body in (("/one", b"1"), ("/two", b"22"))
]


def flood(answers: Sequence[bytes], **job: object) -> tuple[list[Exchange], list[bytes], int]:
    """Run a job against a server that gives these answers, the last of them again and again.

    Returns:
        The exchanges, the requests as they arrived, and the number of connections.
    """
    left, requests, connections = list(answers), [], 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while head := await reader.read(2**16):
            requests.append(head)
            answer = left.pop(0) if len(left) > 1 else left[0]
            writer.write(answer)
            if answer in (HALF, LAST):
                break
        writer.close()

    async def main() -> list[Exchange]:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            made = Job.model_validate({"url": f"http://127.0.0.1:{port}", "posts": POSTS, **job})
            found = await Flood(made).run()
            await asyncio.sleep(0.02)
            return found

    return asyncio.run(main()), requests, connections


def test_requests_arrive_at_their_rate_one_after_the_other() -> None:
    exchanges, requests, _ = flood([OK], kind="open", seconds=0.1, rate=50)
    assert [exchange.at_seconds for exchange in exchanges] == pytest.approx(
        [0.0, 0.02, 0.04, 0.06, 0.08]
    )
    assert {exchange.status for exchange in exchanges} == {200}
    assert [request.split()[1] for request in requests[:3]] == [b"/one", b"/two", b"/one"]
    assert all(b"X-A: b\r\n" in request for request in requests)
    assert requests[1].endswith(b"Content-Length: 2\r\n\r\n22")


def test_clients_send_again_as_soon_as_they_have_an_answer() -> None:
    exchanges, requests, _ = flood([OK], kind="closed", seconds=0.1, clients=2)
    assert len(exchanges) == len(requests) > 4
    assert {exchange.status for exchange in exchanges} == {200}


def test_a_refusal_is_counted_with_the_time_it_names() -> None:
    exchanges, _, _ = flood([SHED], kind="open", seconds=0.02, rate=50)
    assert [(e.status, e.retry_after) for e in exchanges] == [(429, "3")]


def test_a_connection_that_breaks_within_an_answer_is_counted_as_no_status() -> None:
    exchanges, _, _ = flood([HALF, OK], kind="open", seconds=0.08, rate=25)
    assert [exchange.status for exchange in exchanges] == [0, 200]


def test_a_connection_that_the_server_closes_is_not_used_again() -> None:
    exchanges, _, connections = flood([LAST], kind="open", seconds=0.08, rate=25)
    assert [exchange.status for exchange in exchanges] == [200, 200]
    assert connections == 2


def test_a_probe_asks_on_a_new_connection_each_time() -> None:
    exchanges, requests, connections = flood([LAST], kind="probe", seconds=0.06, rate=50)
    assert [exchange.status for exchange in exchanges] == [200] * 3
    assert connections == 3
    assert all(request.startswith(b"GET /healthz HTTP/1.1\r\n") for request in requests)


def test_a_service_that_is_not_there_is_counted_as_no_status() -> None:
    job = Job.model_validate(
        {"url": "http://127.0.0.1:9", "kind": "open", "seconds": 0.02, "rate": 50, "posts": POSTS}
    )
    [exchange] = asyncio.run(Flood(job).run())
    assert exchange.status == 0


def test_a_job_with_an_unknown_field_is_refused() -> None:
    with pytest.raises(ValidationError, match="speed"):
        Job.model_validate({"url": "http://a:1", "kind": "open", "seconds": 1, "speed": 2})
