"""A client that waits for what a service leaves over, with a transport in its place."""

from __future__ import annotations

import threading
from pathlib import Path

import httpx2
import pytest

from omnivec2.errors import DeadlineExceededError, ModelNotReadyError
from omnivec2_api.batch.background_client import AdaptiveLimit, BackgroundClient
from omnivec2_api.batch.batch_run import BatchOptions, run_batch
from omnivec2_api.batch.find_source import LineSource
from tests.support.model_repositories.tiny_models import tiny_heads

HEADS = [head.model_dump(mode="json") for head in tiny_heads()]
ANSWER = [[{"label": "positive", "score": 0.75}]]


class BusyService:
    """Answers as many requests at a time as it has room for, and refuses the others.

    Attributes:
        room: The number of requests that it takes at the same time.
        refused: The number of requests that it has refused.
        most: The most requests that were there at the same time, refused ones included.
        priorities: The priorities of the requests.
    """

    def __init__(self, room: int) -> None:
        self.room, self.refused, self.most = room, 0, 0
        self.priorities: set[str] = set()
        self._here = 0
        self._lock = threading.Lock()
        self._pause = threading.Event()

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.path.endswith("/models"):
            return httpx2.Response(200, json={"models": HEADS, "refused": []})
        request.read()
        with self._lock:
            self.priorities.add(request.headers["X-Priority"])
            self._here += 1
            self.most = max(self.most, self._here)
            is_refused = self._here > self.room
            self.refused += is_refused
        self._pause.wait(0.002)
        with self._lock:
            self._here -= 1
        if is_refused:
            return httpx2.Response(429, headers={"Retry-After": "0.005"}, json={})
        return httpx2.Response(200, json=ANSWER, headers={"X-Model-Version": "1"})


def client_of(service, **options) -> BackgroundClient:
    transport = httpx2.MockTransport(service)
    return BackgroundClient("http://service", transport=transport, **options)


def answers(*statuses: int):
    """A service that answers with these statuses, and with the last one from then on."""
    left = list(statuses)

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.path.endswith("/models"):
            return httpx2.Response(200, json={"models": HEADS, "refused": []})
        status = left.pop(0) if len(left) > 1 else left[0]
        headers = {"Retry-After": "0.001", "X-Model-Version": "1"}
        return httpx2.Response(status, json=ANSWER if status == 200 else {}, headers=headers)

    return answer


def test_no_row_is_dropped_by_a_service_that_refuses_most_requests(tmp_path: Path):
    service = BusyService(room=3)
    source = LineSource([f"text {number}" for number in range(300)])
    with client_of(service) as client:
        summary = run_batch(
            client, ["text/sentiment"], source, tmp_path / "out.csv", BatchOptions(progress=False)
        )
    assert (summary.inputs, summary.failed) == (300, 0)
    assert service.priorities == {"low"}
    assert 0 < service.refused < 300


def test_requests_under_way_follow_what_the_service_takes():
    service = BusyService(room=4)
    with client_of(service) as client:
        list(client.run_tasks("text", ["sentiment"], ["text"] * 300, {}))
    assert service.most <= 8


def test_a_service_that_is_free_gets_ever_more():
    service = BusyService(room=1000)
    with client_of(service, concurrency=20) as client:
        list(client.run_tasks("text", ["sentiment"], ["text"] * 600, {}))
    assert service.refused == 0
    assert service.most > 10


def test_a_refusal_halves_and_a_round_of_answers_adds_one():
    clock = [0.0]
    limit = AdaptiveLimit(64, clock=lambda: clock[0])
    for _ in range(200):
        limit.grow()
    before = limit.value
    limit.back_off(1.0)
    limit.back_off(1.0)
    assert limit.value == before / 2
    clock[0] = 2.0
    for _ in range(round(limit.value)):
        limit.grow()
    assert limit.value == pytest.approx(before / 2 + 1, abs=0.2)


def test_a_restart_of_the_service_is_waited_for():
    with client_of(answers(503, 502, 503, 200)) as client:
        assert client.predict("text/sentiment", "a text").value


def test_a_service_that_is_gone_ends_the_wait():
    with client_of(answers(503), patience=0.05) as client, pytest.raises(ModelNotReadyError):
        client.predict("text/sentiment", "a text")


def test_an_input_that_is_always_too_late_has_an_error():
    with client_of(answers(504)) as client, pytest.raises(DeadlineExceededError):
        client.predict("text/sentiment", "a text")
