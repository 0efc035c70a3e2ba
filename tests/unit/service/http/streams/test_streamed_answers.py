"""Answers in events, from the request to the last of them, over a runtime that counts its work."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI

from omnivec2.errors import ModelNotReadyError
from omnivec2.preprocess import Array
from omnivec2.spec import HeadSpec, TaskFamily
from service.runtimes.base import Inference, Model
from tests.support.model_repositories.tiny_models import classification, head_spec
from tests.support.networks.writing import head_that_writes
from tests.support.requests.asgi import ROUTE, ask, run
from tests.support.requests.event_streams import streaming
from tests.support.service_parts.service_fakes import FakeRuntime

ACTIVITY = classification("imu/activity", "walks", "rests")
MOTION = "/predict/imu/activity"
SIGNAL = {"inputs": np.linspace(-1, 1, 64 * 20 * 9).reshape(-1, 9).tolist()}
WRITER = head_that_writes([0, 100, 101, 102, 1000, 1001])
SUMMARY = "/predict/text/summarization"
TEXT = {"inputs": "what a day", "parameters": {"no_repeat_ngram_size": 0}}
WORDS = 12


class SlowRuntime(FakeRuntime):
    """A runtime whose windows and steps can be held up, fail, and are counted.

    Attributes:
        going: Clear it to hold up all work.
        steps: The number of steps of the decoder so far.
        fails_at: The window or step that fails.
    """

    def __init__(self, *specs: HeadSpec) -> None:
        super().__init__(*specs)
        self.going = asyncio.Event()
        self.going.set()
        self.steps = 0
        self.fails_at: int | None = None

    async def infer(self, model: Model, inputs: Mapping[str, Array]) -> Inference:
        await self.going.wait()
        if self.fails_at is not None and len(self.batches) >= self.fails_at:
            raise ModelNotReadyError("the engine failed")
        if model.spec.generation is None:
            return await super().infer(model, inputs)
        rows, length = inputs["input_ids"].shape
        return Inference({"memory": np.zeros((rows, length, 4), np.float32)}, 0.0, 0.0)

    async def decode(self, model: Model, inputs: Mapping[str, Array]) -> Inference:
        await self.going.wait()
        await asyncio.sleep(0)
        if self.steps == self.fails_at:
            raise ModelNotReadyError("the decoder failed")
        self.steps += 1
        generated = np.zeros((1, 1, 6), np.float32)
        generated[0, 0, 3 if inputs["step"][0, 0] >= WORDS else 4] = 1.0
        copied = np.zeros((1, 1, inputs["memory"].shape[1]), np.float32)
        return Inference(
            {"generated": generated, "copied": copied, "state": np.zeros((1, 1, 4), np.float32)},
            0.0,
            0.0,
        )


async def whole(app: FastAPI, path: str, body: Any) -> Any:
    reply = await ask(app, path, json.dumps(body).encode(), content_type="application/json")
    assert reply.status == 200
    return reply.json


async def counted(app: FastAPI, name: str) -> dict[str, float]:
    """Return the series of a metric, without those that are 0."""
    text = (await ask(app, "/metrics", method="GET")).body.decode()
    lines = [line for line in text.splitlines() if line.startswith(f"omnivec2_{name}")]
    pairs = [line.removeprefix(f"omnivec2_{name}").rsplit(" ", 1) for line in lines]
    return {labels: float(value) for labels, value in pairs if float(value)}


def test_a_recording_is_answered_window_by_window_and_then_as_a_whole() -> None:
    fake = SlowRuntime(ACTIVITY)

    async def test(app: FastAPI) -> None:
        async with streaming(app, MOTION, SIGNAL) as client:
            pass
        assert client.status == 200
        assert client.headers["content-type"].startswith("text/event-stream")
        assert client.headers["cache-control"] == "no-store"
        assert "content-length" not in client.headers
        *windows, last = client.events
        assert [event.name for event in windows] == ["window"] * 20
        assert [event.data["index"] for event in windows] == list(range(20))
        assert {event.data["count"] for event in windows} == {20}
        assert [event.id for event in client.events] == list(range(1, 22))
        assert last.name == "answer"
        assert last.data["answer"] == await whole(app, MOTION, SIGNAL)
        assert last.data["headers"]["x-model-version"] == "7"
        assert "compute;dur" in last.data["headers"]["server-timing"]
        means = np.mean([_scores(event.data["answer"]) for event in windows], axis=0)
        assert means == pytest.approx(_scores(last.data["answer"]))
        assert await counted(app, "stream_events_total") == {
            '{event="window"}': 20,
            '{event="answer"}': 1,
        }

    run(test, fake)


def _scores(answer: Any) -> list[float]:
    return [entry["score"] for entry in sorted(answer, key=lambda entry: entry["label"])]


def test_every_series_is_an_event_with_its_own_forecast() -> None:
    spec = head_spec(
        "timeseries/forecast",
        TaskFamily.FORECASTING,
        {"mean": (2,)},
        {"context_length": 4},
        horizon=2,
    )

    async def test(app: FastAPI) -> None:
        body = {"inputs": {"a": [1, 2, 3, 4], "b": [1e6, 2e6, 3e6, 4e6]}}
        async with streaming(app, "/predict/timeseries/forecast", body) as client:
            pass
        first, second, last = client.events
        assert [first.data["count"], second.data["count"]] == [2, 2]
        both = last.data["answer"]["predictions"]
        assert [series["target"] for series in both] == ["a", "b"]
        parts = [event.data["answer"]["predictions"] for event in (first, second)]
        assert parts == [[both[0]], [both[1]]]

    run(test, FakeRuntime(spec))


def test_several_inputs_and_tasks_name_themselves_in_their_events() -> None:
    place = classification("imu/place", "wrist", "hip")

    async def test(app: FastAPI) -> None:
        body = {"inputs": [SIGNAL["inputs"][:128], SIGNAL["inputs"][128:320]]}
        async with streaming(app, "/predict/imu?tasks=activity,place", body) as client:
            pass
        *windows, last = client.events
        found = [(e.data["input"], e.data["task"], e.data["index"]) for e in windows]
        assert sorted(found) == [
            (index, task, window)
            for index, count in enumerate((2, 3))
            for task in ("activity", "place")
            for window in range(count)
        ]
        assert set(last.data["answer"]) == {"activity", "place"}

    run(test, FakeRuntime(ACTIVITY, place))


def test_a_summary_is_written_token_by_token() -> None:
    async def test(app: FastAPI) -> None:
        async with streaming(app, SUMMARY, TEXT) as client:
            pass
        *tokens, last = client.events
        assert {event.name for event in tokens} == {"token"}
        texts = [event.data["answer"]["summary_text"] for event in tokens]
        assert len(texts) > WORDS - 1
        assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(texts))
        assert [event.data["index"] for event in tokens] == list(range(len(tokens)))
        assert last.data["answer"] == await whole(app, SUMMARY, TEXT)
        assert last.data["answer"][0]["summary_text"] == texts[-1]

    run(test, SlowRuntime(WRITER))


def test_an_answer_without_parts_is_one_event() -> None:
    async def test(app: FastAPI) -> None:
        async with streaming(app, ROUTE, {"inputs": "good"}) as client:
            pass
        (last,) = client.events
        assert last.name == "answer"
        assert last.data["answer"] == await whole(app, ROUTE, {"inputs": "good"})

    run(test)


def test_notes_are_among_the_headers_of_the_last_event() -> None:
    async def test(app: FastAPI) -> None:
        async with streaming(app, ROUTE, {"inputs": "good film " * 400}) as client:
            pass
        assert "cut" in client.events[-1].data["headers"]["x-notes"]

    run(test)


@pytest.mark.parametrize("accept", ["*/*", "application/json", "image/png"])
def test_others_get_one_document_whatever_they_accept(accept: str) -> None:
    async def test(app: FastAPI) -> None:
        async with streaming(app, MOTION, SIGNAL, accept) as client:
            pass
        assert client.headers["content-type"] == "application/json"
        assert json.loads(client.body)[0]["label"]

    run(test, FakeRuntime(ACTIVITY))


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [({"inputs": 7}, {}, 422), ({"inputs": "long " * 900}, {"x_strict": "true"}, 422)],
)
def test_a_request_that_is_refused_has_its_own_status(
    body: Any, headers: dict[str, str], status: int
) -> None:
    async def test(app: FastAPI) -> None:
        async with streaming(app, ROUTE, body, **headers) as client:
            pass
        assert client.status == status
        assert client.headers["content-type"] == "application/problem+json"

    run(test)


def test_a_failure_after_the_first_event_is_an_event_with_the_problem() -> None:
    fake = SlowRuntime(ACTIVITY)
    fake.fails_at = 6

    async def test(app: FastAPI) -> None:
        async with streaming(app, MOTION, SIGNAL) as client:
            pass
        *windows, last = client.events
        assert windows
        assert (client.status, last.name) == (200, "error")
        assert last.data["status"] == 503
        assert last.data["instance"] == MOTION
        assert client.is_complete
        assert (await counted(app, "requests_total"))[
            '{modality="imu",status="503",task="activity"}'
        ] == 1

    run(test, fake)


def test_a_defect_after_the_first_event_is_logged_and_blames_nobody(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("a defect")

    async def test(app: FastAPI) -> None:
        monkeypatch.setattr("service.http.routes.prediction.answer_headers", fail)
        with caplog.at_level(logging.ERROR):
            async with streaming(app, MOTION, SIGNAL) as client:
                pass
        last = client.events[-1]
        assert (last.name, last.data["status"]) == ("error", 500)
        assert "defect" not in last.data["detail"]

    run(test, FakeRuntime(ACTIVITY))
    assert "ZeroDivisionError" in caplog.text


def test_the_deadline_holds_for_the_whole_stream() -> None:
    fake = SlowRuntime(WRITER)

    async def test(app: FastAPI) -> None:
        async with streaming(app, SUMMARY, TEXT, x_request_timeout="0.3") as client:
            await client.until(lambda: bool(client.events))
            fake.going.clear()
        assert (client.events[-1].name, client.events[-1].data["status"]) == ("error", 504)

    run(test, fake)


@pytest.mark.parametrize(
    ("spec", "path", "body"), [(ACTIVITY, MOTION, SIGNAL), (WRITER, SUMMARY, TEXT)]
)
def test_a_client_that_leaves_stops_the_windows_and_steps_that_are_left(
    spec: HeadSpec, path: str, body: Any
) -> None:
    fake = SlowRuntime(spec)

    async def test(app: FastAPI) -> None:
        fake.going.clear()
        async with streaming(app, path, body) as client:
            # The client's end is watched by then.
            await asyncio.sleep(0.05)
            before = fake.steps + len(fake.batches)
            client.left.set()
        fake.going.set()
        await asyncio.sleep(0.05)
        assert fake.steps + len(fake.batches) == before
        assert client.events == []
        labels = f'modality="{spec.modality.value}",status="499",task="{spec.task}"'
        assert (await counted(app, "requests_total"))[f"{{{labels}}}"] == 1
        assert app.state.gateway.admission.requests == 0

    run(test, fake)


def test_a_client_that_leaves_within_a_summary_stops_its_steps() -> None:
    fake = SlowRuntime(WRITER)

    async def test(app: FastAPI) -> None:
        async with streaming(app, SUMMARY, TEXT) as client:
            client.reading.clear()  # the buffer fills, so that the search waits
            await client.until(lambda: fake.steps >= 3)
            await asyncio.sleep(0.05)
            before = fake.steps
            assert before < WORDS
            client.left.set()
            await asyncio.sleep(0.02)
            client.reading.set()
        assert fake.steps == before
        assert client.events[-1].name == "token"

    run(test, fake)


def test_a_client_that_does_not_read_holds_up_the_windows() -> None:
    fake = SlowRuntime(ACTIVITY)

    async def test(app: FastAPI) -> None:
        async with streaming(app, MOTION, SIGNAL) as client:
            client.reading.clear()
            await client.until(lambda: len(fake.batches) >= 8)
            await asyncio.sleep(0.05)
            assert len(fake.batches) < 20
            client.reading.set()
        assert len(client.events) == 21

    # Two windows are under way beside those that wait.
    run(test, fake, inference_threads=1)


def test_a_client_that_does_not_read_for_long_loses_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("service.http.streams.event_stream._STALLED_SECONDS", 0.05)

    async def test(app: FastAPI) -> None:
        async with streaming(app, MOTION, SIGNAL) as client:
            client.reading.clear()
            await client.until(lambda: app.state.gateway.admission.requests == 1)
            await client.until(lambda: app.state.gateway.admission.requests == 0)
            client.reading.set()
        assert {event.name for event in client.events} == {"window"}
        labels = 'modality="imu",status="499",task="activity"'
        assert (await counted(app, "requests_total"))[f"{{{labels}}}"] == 1

    run(test, FakeRuntime(ACTIVITY))


def test_comments_keep_the_connection_until_there_is_an_event() -> None:
    fake = SlowRuntime(ACTIVITY)

    async def test(app: FastAPI) -> None:
        fake.going.clear()
        async with streaming(app, MOTION, SIGNAL) as client:
            await client.until(lambda: client.body.count(b": keep-alive\n\n") >= 2)
            assert client.events == []
            fake.going.set()
        assert client.events[-1].name == "answer"

    run(test, fake, stream_keep_alive_seconds=0.02)


def test_a_client_that_never_reads_is_given_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("service.http.streams.streamed_answer._LAST_SECONDS", 0.05)

    async def test(app: FastAPI) -> None:
        async with streaming(app, MOTION, SIGNAL, x_request_timeout="0.2") as client:
            client.reading.clear()
        assert not client.is_complete
        assert app.state.gateway.admission.requests == 0

    run(test, FakeRuntime(ACTIVITY))
    assert "did not read its stream" in caplog.text


def test_the_parts_begin_again_if_the_head_is_replaced_meanwhile() -> None:
    fake = FakeRuntime(ACTIVITY)

    async def test(app: FastAPI) -> None:
        fake.upcoming = {ACTIVITY.name: Model(ACTIVITY, "8")}
        async with streaming(app, MOTION, SIGNAL) as client:
            pass
        last = client.events[-1]
        assert last.data["headers"]["x-model-version"] == "8"
        assert len(client.events) == 21

    run(test, fake, refresh_seconds=0)
