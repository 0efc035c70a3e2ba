"""Bad inputs: each gets a clear 4xx in under a second, and no other request is affected."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.support.gateways.servers import RunningServer
from tests.support.requests.bad_inputs import GOOD, Bad, file
from tests.support.requests.bad_requests import BAD_REQUESTS

pytestmark = pytest.mark.alone

LONGEST_SECONDS = 1.0
MOST_GROWTH_BYTES = 150 * 2**20


@pytest.fixture(scope="module")
def server(reference: RunningServer) -> RunningServer:
    """The network that ships."""
    return reference


@pytest.fixture(scope="module")
def client(server: RunningServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def rss_at_start(server: RunningServer, client: httpx.Client) -> int:
    """The memory of the service once it has answered every modality and loaded its codecs."""
    for route in GOOD:
        ask_well(client, route)
    return server.rss_bytes


def throw(client: httpx.Client, bad: Bad) -> None:
    """Send a bad request and check what comes back."""
    content = bad.body()
    started = time.perf_counter()
    answer = client.post(f"/predict/{bad.route}", content=content, headers=bad.headers)
    seconds = time.perf_counter() - started
    assert 400 <= answer.status_code < 500, (answer.status_code, answer.text[:500])
    assert bad.status in (None, answer.status_code), answer.text[:500]
    assert answer.headers["content-type"] == "application/problem+json"
    problem = json.loads(answer.text)
    assert problem["status"] == answer.status_code
    assert problem["error"] == problem["detail"]
    assert len(problem["detail"]) > 10
    assert "Traceback" not in answer.text
    assert seconds < LONGEST_SECONDS


def ask_well(client: httpx.Client, route: str) -> None:
    """Send a good request and check that it is answered."""
    answer = client.post(f"/predict/{route}", content=file(GOOD[route]))
    assert answer.status_code == 200, answer.text[:500]


@pytest.mark.parametrize("route", GOOD)
@pytest.mark.usefixtures("rss_at_start")
def test_a_good_input_is_answered(client: httpx.Client, route: str) -> None:
    ask_well(client, route)


@pytest.mark.parametrize("bad", BAD_REQUESTS, ids=lambda bad: bad.id)
def test_a_bad_input_is_refused_and_the_next_good_one_is_answered(
    client: httpx.Client, bad: Bad
) -> None:
    throw(client, bad)
    ask_well(client, bad.route)


def test_every_modality_is_attacked() -> None:
    assert len(BAD_REQUESTS) >= 60
    assert len({bad.route.partition("/")[0] for bad in BAD_REQUESTS}) == 13
    assert {bad.route for bad in BAD_REQUESTS} <= GOOD.keys()


def test_memory_hardly_grows_over_the_whole_run(
    server: RunningServer, client: httpx.Client, rss_at_start: int
) -> None:
    for bad in BAD_REQUESTS:
        throw(client, bad)
    growth = server.rss_bytes - rss_at_start
    print(f"memory grew by {growth / 2**20:.0f} MiB over {2 * len(BAD_REQUESTS)} bad requests")
    assert growth < MOST_GROWTH_BYTES
    assert 'status="500"' not in client.get("/metrics").text
