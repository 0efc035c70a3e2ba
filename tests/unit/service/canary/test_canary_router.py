"""Which version of a head answers, over the application."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fastapi import FastAPI

from omnivec2.canary.canary_state import CanaryStatus, write_canary
from omnivec2.errors import ModelNotReadyError
from service.access.api_keys import Key
from service.canary.running_canary import RunningCanary
from service.request_context import RequestContext
from tests.support.requests.asgi import ROUTE, SENTIMENT, ask, run
from tests.support.service_parts.two_versions import (
    OTHER,
    TOPIC,
    TwoVersions,
    exposition,
    put,
    shown,
    versions,
)
from tests.support.waiting import until


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
