"""Two versions of a head behind one route, over the application."""

from __future__ import annotations

import asyncio
import datetime
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI

from omnivec2.canary.canary_state import (
    Canary,
    CanaryLimits,
    CanaryStatus,
    read_canaries,
    write_canary,
)
from omnivec2.errors import ModelNotReadyError, OverloadedError
from omnivec2.preprocess import Array
from omnivec2.spec import HeadSpec
from service.access.api_keys import Key
from service.canary.heads_request import bytes_of
from service.canary.running_canary import RunningCanary
from service.request_context import ClientDisconnectedError, RequestContext
from service.runtimes.base import Inference, Model
from tests.support.asgi import ROUTE, SENTIMENT, Reply, ask, run
from tests.support.event_streams import parse_events
from tests.support.service_fakes import FakeRuntime
from tests.support.sounds import tones, written
from tests.support.tiny_models import classification, tiny_heads
from tests.support.waiting import until

AUDIO = next(head for head in tiny_heads() if head.route == "audio/events")
TOPIC = classification("text/topic", "war", "peace")
CANDIDATE = SENTIMENT.model_copy(update={"task": "sentiment__candidate"})
OTHER = TOPIC.model_copy(update={"task": "topic__candidate"})


class TwoVersions(FakeRuntime):
    """Version 1 of heads, and version 2 beside them.

    Attributes:
        failure: What the candidates raise, if they fail.
        negates: Whether they prefer the other label.
        seconds: How long they say they took.
        hangs: Whether they never answer.
    """

    def __init__(self, *specs: HeadSpec) -> None:
        super().__init__(SENTIMENT, CANDIDATE, *specs)
        versions = {True: "2", False: "1"}
        self._models = {
            name: Model(model.spec, versions[name.endswith("__candidate")])
            for name, model in self._models.items()
        }
        self.candidate_failure: Exception | None = None
        self.served_failure: Exception | None = None
        self.negates = self.hangs = False
        self.seconds = 0.5

    async def infer(self, model: Model, inputs: Mapping[str, Array]) -> Inference:
        answer = await super().infer(model, inputs)
        if not model.name.endswith("__candidate"):
            if self.served_failure is not None:
                raise self.served_failure
            return answer
        if self.candidate_failure is not None:
            raise self.candidate_failure
        if self.hangs:
            await asyncio.sleep(60)
        sign = np.float32(-1 if self.negates else 1)
        outputs = {name: sign * array for name, array in answer.outputs.items()}
        return Inference(outputs, 0.0, self.seconds)


def put(repository: Path, route: str = "text/sentiment", **fields: Any) -> Canary:
    now = datetime.datetime.now(datetime.UTC)
    canary = Canary(route=route, version=2, started=now, **fields)
    write_canary(repository, canary)
    return canary


async def shown(app: FastAPI) -> Any:
    return (await ask(app, "/models/text/sentiment", method="GET")).json["canary"]


async def exposition(app: FastAPI) -> str:
    return (await ask(app, "/metrics", method="GET")).body.decode()


def versions(replies: list[Reply]) -> set[tuple[int, str]]:
    return {(reply.status, reply.headers["x-model-version"]) for reply in replies}


def test_a_share_of_ids_and_of_keys_gets_the_candidate_and_stays_with_it(tmp_path: Path) -> None:
    running = RunningCanary(put(tmp_path, share=10.0), None)
    contexts = [RequestContext(request_id=f"request {n}") for n in range(2000)]
    taken = [running.takes(context) for context in contexts]
    assert 160 <= sum(taken) <= 240
    assert taken == [running.takes(context) for context in contexts]
    keys = [Key(name=f"key{n}", sha256="0" * 64) for n in range(500)]
    by_key = [running.takes(RequestContext(request_id="any", key=key)) for key in keys]
    again = [running.takes(RequestContext(request_id="other", key=key)) for key in keys]
    assert by_key == again
    assert 25 <= sum(by_key) <= 75
    next_one = RunningCanary(running.canary.model_copy(update={"version": 3}), None)
    assert taken != [next_one.takes(context) for context in contexts]


def test_a_candidate_without_a_canary_has_no_route_and_gets_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(app: FastAPI) -> None:
        assert (await ask(app, "/predict/text/sentiment__candidate")).status == 404
        assert versions([await ask(app, ROUTE)]) == {(200, "1")}
        listed = (await ask(app, "/models", method="GET")).json["models"]
        assert [model["name"] for model in listed] == ["text_sentiment"]
        assert "canary" not in listed[0]
        assert "OMNIVEC2_MODEL_REPO must name" in caplog.text

    run(test, TwoVersions(), model_repo=tmp_path)


def test_the_candidate_answers_under_the_name_of_the_head_and_is_shown(tmp_path: Path) -> None:
    canary = put(tmp_path, share=100.0)

    async def test(app: FastAPI) -> None:
        reply = await ask(app, ROUTE)
        assert versions([reply]) == {(200, "2")}
        assert reply.headers["x-model"] == "text_sentiment"
        assert (await shown(app))["loaded"] is True
        assert 'canary_share{modality="text",shadow="false"' in await exposition(app)
        # Ended elsewhere: no request gets it from the next poll on.
        write_canary(tmp_path, canary.end(CanaryStatus.ROLLED_BACK, "by hand", "somebody"))
        await until(lambda: not app.state.gateway.canaries.running)
        assert versions([await ask(app, ROUTE)]) == {(200, "1")}
        assert (await shown(app))["reason"] == "by hand"

    run(test, TwoVersions(), model_repo=tmp_path, refresh_seconds=0.05)


def test_a_candidate_of_another_version_waits(tmp_path: Path) -> None:
    write_canary(tmp_path, put(tmp_path, share=100.0).model_copy(update={"version": 3}))

    async def test(app: FastAPI) -> None:
        assert versions([await ask(app, ROUTE)]) == {(200, "1")}

    run(test, TwoVersions(), model_repo=tmp_path)


def test_a_request_that_the_candidate_fails_is_answered_and_the_canary_ends(tmp_path: Path) -> None:
    put(tmp_path, share=100.0)
    runtime = TwoVersions()
    runtime.candidate_failure = ModelNotReadyError("out of numbers")

    async def test(app: FastAPI) -> None:
        assert versions([await ask(app, ROUTE) for _ in range(5)]) == {(200, "1")}
        assert (await shown(app))["status"] == "rolled_back"
        assert "out of numbers" in (await shown(app))["reason"]
        await until(lambda: not read_canaries(tmp_path)["text/sentiment"].is_running)
        await until(lambda: not app.state.gateway.canaries.unrecorded)
        text = await exposition(app)
        assert 'canary_rollbacks_total{cause="errors",modality="text",task="sentiment"' in text

    run(test, runtime, model_repo=tmp_path, refresh_seconds=0.05)


def test_a_failure_that_both_versions_share_does_not_count(tmp_path: Path) -> None:
    put(tmp_path, share=100.0)
    runtime = TwoVersions()
    runtime.candidate_failure = runtime.served_failure = ModelNotReadyError("no engine")

    async def test(app: FastAPI) -> None:
        assert {(await ask(app, ROUTE)).status for _ in range(5)} == {503}
        assert (await shown(app))["status"] == "running"
        runtime.candidate_failure = OverloadedError("full")
        runtime.served_failure = None
        assert {(await ask(app, ROUTE)).status for _ in range(5)} == {429}
        assert (await shown(app))["status"] == "running"

    run(test, runtime, model_repo=tmp_path)


def test_a_candidate_that_hangs_leaves_time_for_the_served_version(tmp_path: Path) -> None:
    put(tmp_path, share=100.0)
    runtime = TwoVersions()
    runtime.hangs = True

    async def test(app: FastAPI) -> None:
        replies = await asyncio.gather(*(ask(app, ROUTE) for _ in range(3)))
        assert versions(replies) == {(200, "1")}
        assert "half of the request's time" in (await shown(app))["reason"]

    run(test, runtime, model_repo=tmp_path, request_timeout_seconds=4)


def test_a_slow_candidate_ends(tmp_path: Path) -> None:
    put(tmp_path, share=50.0)
    runtime = TwoVersions()
    runtime.seconds = 5.0

    async def test(app: FastAPI) -> None:
        # One after the other, so that answers of both versions come in pairs: about a hundred.
        replies = [await ask(app, ROUTE) for _ in range(400)]
        assert {reply.status for reply in replies} == {200}
        assert "takes 5" in (await shown(app))["reason"]

    run(test, runtime, model_repo=tmp_path)


def test_a_rollback_that_cannot_be_recorded_holds_here_and_is_recorded_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    put(tmp_path, share=100.0)
    runtime = TwoVersions()
    runtime.candidate_failure = ModelNotReadyError("broken")

    def read_only(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    async def test(app: FastAPI) -> None:
        canaries = app.state.gateway.canaries
        with monkeypatch.context() as patch:
            patch.setattr("service.canary.rollback_record.end_canary", read_only)
            assert versions([await ask(app, ROUTE) for _ in range(5)]) == {(200, "1")}
            await until(lambda: "Read-only" in caplog.text)
            await asyncio.sleep(0.2)  # polls, which read that it is running
            assert canaries.unrecorded == 1
            assert versions([await ask(app, ROUTE)]) == {(200, "1")}
            assert (await shown(app))["status"] == "rolled_back"
            assert "canary_rollbacks_unrecorded 1.0" in await exposition(app)
            assert read_canaries(tmp_path)["text/sentiment"].is_running
        await until(lambda: not canaries.unrecorded)
        assert not read_canaries(tmp_path)["text/sentiment"].is_running
        assert caplog.text.count("Read-only") == 1

    run(test, runtime, model_repo=tmp_path, refresh_seconds=0.05)


def test_a_shadow_is_compared_after_the_answer(tmp_path: Path) -> None:
    put(tmp_path, shadow=True, limits=CanaryLimits(max_disagreement=1.0))
    runtime = TwoVersions()
    runtime.negates = True

    async def test(app: FastAPI) -> None:
        for _ in range(5):
            assert versions([await ask(app, ROUTE)]) == {(200, "1")}
        await until(lambda: app.state.gateway.canaries.running["text/sentiment"].monitor.changes)
        (change,) = (await shown(app))["label_changes"]
        assert {change["served"], change["candidate"]} == {"no", "yes"}
        assert runtime.contexts[-1].priority.label == "low"
        runtime.candidate_failure = ModelNotReadyError("broken")
        for _ in range(8):
            assert versions([await ask(app, ROUTE)]) == {(200, "1")}
        await until(lambda: not app.state.gateway.canaries.running)
        assert "broken" in (await shown(app))["reason"]

    run(test, runtime, model_repo=tmp_path, shadow_wait_seconds=60)


def test_shadows_are_dropped_under_load_and_counted(tmp_path: Path) -> None:
    put(tmp_path, shadow=True)
    runtime = TwoVersions()

    async def test(app: FastAPI) -> None:
        shadows = app.state.gateway.canaries._shadows
        shadows._has_spare_time = lambda: False
        await ask(app, ROUTE)
        assert 'reason="load"' in await exposition(app)
        runtime.candidate_failure = OverloadedError("full")
        shadows._has_spare_time = lambda: True
        before = len(runtime.batches)
        await ask(app, ROUTE)
        await until(lambda: len(runtime.batches) == before + 2)
        assert (await shown(app))["status"] == "running"

    run(test, runtime, model_repo=tmp_path)


def test_answers_that_differ_too_often_end_a_shadow(tmp_path: Path) -> None:
    put(tmp_path, shadow=True)
    runtime = TwoVersions()
    runtime.negates = True

    async def test(app: FastAPI) -> None:
        async with asyncio.timeout(20):
            while app.state.gateway.canaries.running:
                assert versions([await ask(app, ROUTE)]) == {(200, "1")}
        assert "compared answers" in (await shown(app))["reason"]

    run(test, runtime, model_repo=tmp_path, shadow_wait_seconds=60)


def test_a_request_to_several_tasks_has_a_version_of_each(tmp_path: Path) -> None:
    put(tmp_path, share=100.0)
    put(tmp_path, "text/topic", share=100.0)
    runtime = TwoVersions(TOPIC, OTHER)

    async def test(app: FastAPI) -> None:
        path, query = "/predict/text", "tasks=sentiment,topic"
        reply = await ask(app, path, query=query)
        assert (reply.headers["x-model-version"], set(reply.json)) == (
            "2,2",
            {"sentiment", "topic"},
        )
        assert reply.headers["x-model"] == "text_sentiment,text_topic"
        runtime.candidate_failure = ModelNotReadyError("one of them")
        for _ in range(5):
            assert (await ask(app, path, query=query)).headers["x-model-version"] == "1,1"
        # Whose failure it is, is not known.
        assert (await shown(app))["status"] == "running"

    run(test, runtime, model_repo=tmp_path)


def test_tensors_get_the_candidate_unless_they_name_a_version(tmp_path: Path) -> None:
    put(tmp_path, share=100.0)
    inputs = [
        {"name": tensor.name, "datatype": "INT32", "shape": [1, 2], "data": [1, 1]}
        for tensor in SENTIMENT.inputs
    ]
    body = json.dumps({"inputs": inputs}).encode()

    async def test(app: FastAPI) -> None:
        kind = {"content_type": "application/json"}
        reply = await ask(app, "/v2/models/text_sentiment/infer", body, **kind)
        assert reply.status == 200, reply.body
        assert (reply.json["model_name"], reply.json["model_version"]) == ("text_sentiment", "2")
        pinned = "/v2/models/text_sentiment/versions/1/infer"
        assert (await ask(app, pinned, body, **kind)).json["model_version"] == "1"

    run(test, TwoVersions(), model_repo=tmp_path)


def test_sizes_that_are_not_known_count_as_nothing() -> None:
    assert bytes_of([3, 2**63 - 1, 4]) == 7


def test_a_stream_whose_candidate_fails_midway_goes_on_with_the_served_version(
    tmp_path: Path,
) -> None:
    put(tmp_path, route=AUDIO.route, share=100.0)
    sound = written(tones(17))

    async def test(app: FastAPI) -> None:
        whole = await ask(app, "/predict/audio/events", sound, content_type="audio/wav")
        runtime.answers_left = 2
        reply = await ask(
            app,
            "/predict/audio/events",
            sound,
            content_type="audio/wav",
            accept="text/event-stream",
        )
        *windows, last = parse_events(reply.body)
        count = windows[0].data["count"]
        assert count >= 3
        assert [event.data["index"] for event in windows] == list(range(count))
        assert last.name == "answer"
        assert last.data["headers"]["x-model-version"] == "1"
        assert len(last.data["answer"]) == len(whole.json)

    candidate = AUDIO.model_copy(update={"task": "events__candidate"})

    class FailsMidway(TwoVersions):
        answers_left = 10**6

        async def infer(self, model: Model, inputs: Mapping[str, Array]) -> Inference:
            if model.name.endswith("__candidate"):
                self.answers_left -= 1
                if self.answers_left < 0:
                    raise ModelNotReadyError("it is broken")
            return await super().infer(model, inputs)

    runtime = FailsMidway(AUDIO, candidate)
    run(test, runtime, model_repo=tmp_path, isolate_decoders=False)


def test_a_client_that_is_gone_is_no_failure_of_the_candidate(tmp_path: Path) -> None:
    put(tmp_path, share=100.0)

    async def test(app: FastAPI) -> None:
        runtime.candidate_failure = ClientDisconnectedError()
        for _ in range(4):
            await ask(app, ROUTE)
        assert len(runtime.batches) == 4, "nobody waits for the served version's answer"
        assert (await shown(app))["status"] == "running"
        assert 'outcome="failed"' not in await exposition(app)

    runtime = TwoVersions()
    run(test, runtime, model_repo=tmp_path)
