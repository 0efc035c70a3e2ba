"""A real gateway under far more load than it can serve."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from tests.support.gateways.servers import RunningServer, running_server

pytestmark = pytest.mark.alone

SENTIMENT = "/predict/text/sentiment"
PICTURE = "/predict/image/classification"
TEXT = b"a moving, honest film with a lot of heart"
SECONDS = 4.0
DEADLINE_SECONDS = 3.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    root = tmp_path_factory.mktemp("reference")
    options = ("--model-repo", str(root), "--only", SENTIMENT[9:], "--only", PICTURE[9:])
    settings = {"max_queue_seconds": 0.25, "access_log": False}
    with running_server(*options, "--layout", "shared", settings=settings) as running:
        yield running


class Flood:
    """Clients that send the next request as soon as they have an answer, whatever it is.

    Attributes:
        statuses: The number of answers of each status.
        seconds: The latency of every answer 200.
        retry_after: The values of ``Retry-After`` of all other answers.
    """

    def __init__(self, url: str, route: str, body: bytes, count: int) -> None:
        self._address = urlsplit(url).netloc
        self._route, self._body = route, body
        self.statuses: Counter[int] = Counter()
        self.seconds: list[float] = []
        self.retry_after: list[str] = []
        self._threads = [threading.Thread(target=self._call) for _ in range(count)]
        self._last = time.monotonic() + SECONDS
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _call(self) -> None:
        connection = http.client.HTTPConnection(self._address, timeout=60)
        headers = {"X-Request-Timeout": str(DEADLINE_SECONDS)}
        while time.monotonic() < self._last:
            started = time.monotonic()
            connection.request("POST", self._route, self._body, headers)
            response = connection.getresponse()
            response.read()
            self.statuses[response.status] += 1
            if response.status == 200:
                self.seconds.append(time.monotonic() - started)
            else:
                self.retry_after.append(response.headers.get("Retry-After", ""))
                time.sleep(0.02)
        connection.close()


def test_admitted_requests_are_answered_in_time_and_the_others_get_retry_after(
    server: RunningServer,
) -> None:
    requests.post(server.url + SENTIMENT, data=TEXT)
    flood = Flood(server.url, SENTIMENT, TEXT, 80)
    health = []
    time.sleep(1.0)
    for _ in range(10):
        started = time.monotonic()
        assert requests.get(f"{server.url}/healthz").status_code == 200
        health.append(time.monotonic() - started)
        time.sleep(0.1)
    flood.join()
    assert flood.statuses.keys() == {200, 429}
    assert all(1 <= int(seconds) <= 30 for seconds in flood.retry_after)
    assert sorted(flood.seconds)[len(flood.seconds) * 9 // 10] < DEADLINE_SECONDS
    assert sorted(health)[5] < 0.5
    # Requests that are over leave nothing behind.
    assert requests.post(server.url + SENTIMENT, data=TEXT).status_code == 200
    metrics = requests.get(f"{server.url}/metrics").text
    assert "omnivec2_pending_requests 0.0" in metrics
    assert "omnivec2_wait_seconds 0.0" in metrics


def test_one_model_in_great_demand_leaves_room_for_another(
    server: RunningServer,
) -> None:
    picture = Path("tests/data/image/blood_smear.jpg").read_bytes()
    requests.post(server.url + PICTURE, data=picture)
    flood = Flood(server.url, SENTIMENT, TEXT, 80)
    time.sleep(1.0)
    statuses = Counter(
        requests.post(server.url + PICTURE, data=picture).status_code for _ in range(10)
    )
    flood.join()
    assert flood.statuses[429] > 0
    assert statuses[200] >= 7, statuses
