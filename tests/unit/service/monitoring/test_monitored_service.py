"""Payload log, feedback and drift, as callers and operators see them."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from omnivec2.errors import ArtifactError
from omnivec2.spec import Target, TaskFamily
from service.access.api_keys import create_key
from service.app import create_app
from service.settings import Settings
from tests.support.model_repositories.tiny_models import classification, head_spec
from tests.support.requests.asgi import ROUTE, SENTIMENT, Reply, ask, run
from tests.support.service_parts.familiar_runtime import FamiliarRuntime
from tests.support.service_parts.service_fakes import FakeRuntime

JSON = "application/json"
TONE = classification("text/tone", "calm", "angry", "sad")
LENGTH = head_spec(
    "text/length",
    TaskFamily.REGRESSION,
    {"values": (1,)},
    targets=(Target(name="words", unit=""),),
)
FEEDBACK = {"feedback_answers": 100}


async def give(app: FastAPI, request_id: str, body: Any, **headers: str) -> Reply:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await ask(app, f"/feedback/{request_id}", data, content_type=JSON, **headers)


async def metrics(app: FastAPI) -> str:
    return (await ask(app, "/metrics", b"", "GET")).body.decode()


def value(text: str, name: str, **labels: str) -> float:
    wanted = {f'{key}="{label}"' for key, label in labels.items()}
    for line in text.splitlines():
        found = re.fullmatch(rf"{name}(?:{{(.*)}})? (\S+)", line)
        if found and wanted <= set((found[1] or "").split(",")):
            return float(found[2])
    raise AssertionError(f"no {name} {labels}")


async def settled(app: FastAPI) -> None:
    monitor = app.state.gateway.monitor
    assert await asyncio.to_thread(monitor.wait_until_idle, 10)


def events(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_nothing_is_watched_unless_it_is_asked_for() -> None:
    async def test(app: FastAPI) -> None:
        assert app.state.gateway.monitor is None
        await ask(app, ROUTE, x_request_id="1")
        reply = await give(app, "1", {"label": 0})
        assert (reply.status, "OMNIVEC2_FEEDBACK_ANSWERS" in reply.json["detail"]) == (501, True)
        text = await metrics(app)
        assert "omnivec2_drift" not in text
        assert "omnivec2_feedback" not in text

    run(test)


@pytest.mark.parametrize("request_id", ["2026/11/22:7", "a//b"])
def test_an_id_with_slashes_gets_feedback(request_id: str) -> None:
    async def test(app: FastAPI) -> None:
        await ask(app, ROUTE, x_request_id=request_id)
        assert (await give(app, request_id, {"label": 0})).status == 200

    run(test, **FEEDBACK)


def test_feedback_counts_once_and_shows_in_the_live_accuracy() -> None:
    async def test(app: FastAPI) -> None:
        predicted = set()
        for number in range(4):
            answer = await ask(app, ROUTE, x_request_id=str(number))
            predicted.add(answer.json[0][0]["label"])
        (right,) = predicted
        wrong = next(label for label in SENTIMENT.labels if label != right)
        for number, label in enumerate((right, right, right, wrong)):
            reply = await give(app, str(number), {"label": label})
            assert reply.status == 200
        assert reply.json == {
            "head": "text/sentiment",
            "version": "7",
            "digest": "",
            "samples": [{"predicted": [right], "truth": [wrong], "outcome": "incorrect"}],
        }
        again = await give(app, "0", {"label": right})
        assert again.status == 410
        assert "counts once" in again.json["detail"]
        text = await metrics(app)
        head = {"modality": "text", "task": "sentiment"}
        assert value(text, "omnivec2_feedback_total", outcome="correct", **head) == 3
        assert value(text, "omnivec2_feedback_total", outcome="incorrect", **head) == 1
        assert value(text, "omnivec2_live_accuracy", **head) == 0.75

    run(test, **FEEDBACK)


def test_feedback_that_is_not_understood_is_refused_and_uses_nothing_up() -> None:
    async def test(app: FastAPI) -> None:
        await ask(app, ROUTE, x_request_id="1")
        unknown = await give(app, "2", {"label": "yes"})
        assert unknown.status == 404
        assert "X-Request-ID" in unknown.json["detail"]
        refused = await give(app, "1", {"label": "perhaps"})
        assert refused.status == 422
        assert refused.json["field"] == "label"
        assert refused.json["known"] == list(SENTIMENT.labels)
        bad: list[Any] = [
            b"no json", b"", [], {}, {"label": 0, "labels": [0]}, {"label": 0, "more": 1},
            {"labels": [0, 1]}, {"labels": 0}, {"label": 0, "task": "tone"},
        ]  # fmt: skip
        for body in bad:
            assert (await give(app, "1", body)).status == 422, body
        assert (await give(app, "1", b'"' + b"x" * 300_000 + b'"')).status == 413
        assert (await give(app, "1", {"label": 1})).status == 200

    run(test, **FEEDBACK)


def test_the_route_of_feedback_is_described_with_its_failures() -> None:
    async def test(app: FastAPI) -> None:
        document = (await ask(app, "/openapi.json", b"", "GET")).json
        operation = document["paths"]["/feedback/{request_id}"]["post"]
        assert {"200", "404", "410", "413", "422", "503"} <= operation["responses"].keys()
        assert operation["requestBody"]["required"]

    run(test, **FEEDBACK)


def test_several_inputs_want_several_labels_and_several_tasks_a_task() -> None:
    async def test(app: FastAPI) -> None:
        body = json.dumps({"inputs": ["good", "bad"]}).encode()
        await ask(app, ROUTE, body, content_type=JSON, x_request_id="two")
        assert (await give(app, "two", {"label": 0})).status == 422
        reply = await give(app, "two", {"labels": [0, "yes"]})
        assert len(reply.json["samples"]) == 2
        await ask(app, "/predict/text", query="tasks=sentiment,tone", x_request_id="tasks")
        asked = await give(app, "tasks", {"label": 0})
        assert asked.status == 422
        assert asked.json["known"] == ["sentiment", "tone"]
        assert (await give(app, "tasks", {"label": "sad", "task": "tone"})).status == 200
        assert (await give(app, "tasks", {"label": 0, "task": "sentiment"})).status == 200
        assert (await give(app, "tasks", {"label": 0, "task": "tone"})).status == 410

    run(test, FakeRuntime(SENTIMENT, TONE), **FEEDBACK)


def test_feedback_on_numbers_adds_up_their_errors() -> None:
    async def test(app: FastAPI) -> None:
        answer = await ask(app, "/predict/text/length", x_request_id="1")
        predicted = answer.json[0]["value"]
        reply = await give(app, "1", {"label": predicted + 2})
        assert reply.json["samples"][0]["absolute_error"] == {"words": pytest.approx(2)}
        text = await metrics(app)
        head = {"modality": "text", "task": "length"}
        assert value(text, "omnivec2_feedback_total", outcome="measured", **head) == 1
        error = value(text, "omnivec2_feedback_absolute_error_total", target="words", **head)
        assert error == pytest.approx(2)
        assert "omnivec2_live_accuracy{" not in text

    run(test, FakeRuntime(LENGTH), **FEEDBACK)


def test_feedback_on_an_answer_without_predictions_is_refused() -> None:
    async def test(app: FastAPI) -> None:
        head = app.state.gateway.dataplane.head("text", "sentiment").model
        desk = app.state.gateway.monitor._desk
        desk.remember("1", None, [(head.spec, "7")], b'{"other": 1}', is_by_task=False)
        reply = await give(app, "1", {"label": "yes"})
        assert reply.status == 422
        assert "no class and no number" in reply.json["detail"]
        text = await metrics(app)
        assert "omnivec2_feedback_total{" not in text

    run(test, **FEEDBACK)


def test_only_the_key_that_asked_may_give_feedback(tmp_path: Path) -> None:
    alice, bob = (create_key(tmp_path / "keys.json", name) for name in ("alice", "bob"))

    async def test(app: FastAPI) -> None:
        await ask(app, ROUTE, x_request_id="1", x_api_key=alice)
        assert (await give(app, "1", {"label": 0}, x_api_key=bob)).status == 404
        assert (await give(app, "1", {"label": 0})).status == 401
        assert (await give(app, "1", {"label": 0}, x_api_key=alice)).status == 200

    run(test, api_keys_file=tmp_path / "keys.json", **FEEDBACK)


def test_feedback_on_a_head_that_is_gone_is_refused() -> None:
    runtime = FakeRuntime(SENTIMENT, TONE)

    async def test(app: FastAPI) -> None:
        await ask(app, ROUTE, x_request_id="1")
        models = runtime.models()
        runtime.upcoming = {name: model for name, model in models.items() if name == TONE.name}
        await app.state.gateway.dataplane.served.refresh()
        assert (await give(app, "1", {"label": 0})).status == 404

    run(test, runtime, **FEEDBACK)


def test_logged_requests_are_cloud_events_without_inputs_or_keys(tmp_path: Path) -> None:
    secret = create_key(tmp_path / "keys.json", "alice")
    path = tmp_path / "events.jsonl"

    async def test(app: FastAPI) -> None:
        long = b"a secret " * 400
        await ask(app, ROUTE, long, x_request_id="1", x_api_key=secret)
        await give(app, "1", {"label": "yes"}, x_api_key=secret)
        await settled(app)
        assert value(await metrics_of(app, secret), "omnivec2_payload_events_total",
                     outcome="written") == 2  # fmt: skip
        prediction, feedback = events(path)
        assert prediction["specversion"] == "1.0"
        assert prediction["type"] == "omnivec2.prediction.v1"
        assert prediction["subject"] == "text/sentiment"
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", prediction["time"])
        assert prediction["id"] != feedback["id"]
        data = prediction["data"]
        assert (data["request_id"], data["key"]) == ("1", "alice")
        assert data["heads"] == [
            {"head": "text/sentiment", "version": "7", "digest": "", "distance": None}
        ]
        assert data["notes"][0]["code"] == "cut"
        assert data["seconds"]["total"] >= data["seconds"]["compute"] * 0
        assert data["answer"][0][0]["label"] in SENTIMENT.labels
        assert "inputs" not in data
        assert feedback["type"] == "omnivec2.feedback.v1"
        assert feedback["data"]["samples"][0]["truth"] == ["yes"]
        assert "secret" not in path.read_text()

    settings = {"payload_log": str(path), "payload_log_share": 1, **FEEDBACK}
    run(test, api_keys_file=tmp_path / "keys.json", **settings)


async def metrics_of(app: FastAPI, key: str) -> str:
    return (await ask(app, "/metrics", b"", "GET", x_api_key=key)).body.decode()


def test_inputs_are_logged_if_asked_for_and_long_ones_by_their_size(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"

    async def test(app: FastAPI) -> None:
        await ask(app, ROUTE, b"short")
        body = json.dumps({"inputs": ["one", "x" * 400]}).encode()
        await ask(app, ROUTE, body, content_type=JSON)
        await settled(app)
        short, several = (event["data"] for event in events(path))
        assert base64.b64decode(short["inputs"][0]["base64"]) == b"short"
        assert several["inputs"][0]["value"] == "one"
        assert several["inputs"][1]["omitted"] is True
        assert several["inputs"][1]["bytes"] == 402
        assert len(several["inputs"][1]["sha256"]) == 64
        assert "answer" not in short or short["answer_bytes"] <= 300

    settings = {"payload_log_inputs": True, "payload_log_max_bytes": 300}
    run(test, payload_log=str(path), payload_log_share=1, **settings)


def test_only_the_named_heads_are_logged(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"

    async def test(app: FastAPI) -> None:
        await ask(app, ROUTE)
        await ask(app, "/predict/text/tone")
        await settled(app)
        assert [event["subject"] for event in events(path)] == ["text/tone"]

    settings = {"payload_log_share": 1, "payload_log_heads": "text/tone"}
    run(test, FakeRuntime(SENTIMENT, TONE), payload_log=str(path), **settings)


def test_events_are_redacted_before_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"

    async def test(app: FastAPI) -> None:
        body = json.dumps({"inputs": "mail a@b.example"}).encode()
        await ask(app, ROUTE, body, content_type=JSON, x_request_id="1")
        await settled(app)
        (event,) = events(path)
        assert event["data"]["inputs"][0]["value"] == "mail [redacted]"
        assert event["data"]["answer"] == "[redacted]"

    settings = {"payload_log_inputs": True, "payload_log_redact": (r"\S+@\S+", "/answer")}
    run(test, payload_log=str(path), payload_log_share=1, **settings)


def test_an_event_that_own_code_fails_on_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "events.jsonl"
    results: list[Any] = [None, {"id": object()}]

    def redact(event: dict[str, Any]) -> Any:
        return results.pop(0) if results else event["no such member"]

    monkeypatch.setattr("string.capwords", redact)

    async def test(app: FastAPI) -> None:
        for _ in range(3):
            assert (await ask(app, ROUTE)).status == 200
        await settled(app)
        assert path.read_text() == ""
        text = await metrics(app)
        assert value(text, "omnivec2_payload_events_total", outcome="withheld") == 1
        assert value(text, "omnivec2_payload_events_total", outcome="failed") == 2

    settings = {"payload_log_share": 1, "payload_log_hook": "string:capwords"}
    run(test, payload_log=str(path), **settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"payload_log": "ftp://a.example/x"},
        {"payload_log": "/no/such/directory/events"},
        {"payload_log_redact": ("a",)},
        {"payload_log": "events", "payload_log_hook": "nowhere"},
    ],
)
def test_a_payload_log_that_cannot_be_used_stops_the_start(settings: dict[str, Any]) -> None:
    with pytest.raises(ArtifactError, match="OMNIVEC2_PAYLOAD_LOG"):
        create_app(Settings(**settings), FakeRuntime(SENTIMENT))


def test_a_sink_that_is_slow_or_away_costs_events_and_no_request(tmp_path: Path) -> None:
    async def test(app: FastAPI) -> None:
        for _ in range(30):
            assert (await ask(app, ROUTE)).status == 200
        monitor = app.state.gateway.monitor
        assert await asyncio.to_thread(monitor._worker.wait_until_idle, 10)
        text = await metrics(app)
        assert value(text, "omnivec2_payload_events_total", outcome="dropped") > 0

    # Nothing listens on port 9 of this machine.
    settings = {"payload_log": "http://127.0.0.1:9/", "payload_log_queue": 2}
    run(test, payload_log_share=1, **settings)


def test_other_inputs_raise_the_drift_of_their_head_past_its_level() -> None:
    runtime = FamiliarRuntime(SENTIMENT)
    head = {"modality": "text", "task": "sentiment"}
    body = json.dumps({"inputs": ["good"] * 10}).encode()

    async def ask_fifty(app: FastAPI) -> str:
        for _ in range(5):
            assert (await ask(app, ROUTE, body, content_type=JSON)).status == 200
        await settled(app)
        return await metrics(app)

    async def test(app: FastAPI) -> None:
        await ask(app, ROUTE, body, content_type=JSON)
        await settled(app)
        early = await metrics(app)
        assert "omnivec2_drift_distance{" not in early  # the window is not full
        assert value(early, "omnivec2_drift_rows", **head) == 10
        usual = await ask_fifty(app)
        level = value(usual, "omnivec2_drift_alert_level", **head)
        assert value(usual, "omnivec2_drift_distance", **head) < level
        runtime.shift = 2.0
        other = await ask_fifty(app)
        assert value(other, "omnivec2_drift_distance", **head) > level
        assert value(other, "omnivec2_drift_alert_level", **head) == level
        # All scores are alike, as those of the reference are not.
        assert value(other, "omnivec2_score_psi", **head) > 0.25

    run(test, runtime, drift_share=1, drift_window=50)


def test_a_logged_request_says_how_far_it_is_from_training(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"

    async def test(app: FastAPI) -> None:
        await ask(app, ROUTE)
        await settled(app)
        (event,) = events(path)
        assert 0 < event["data"]["heads"][0]["distance"] < 10

    run(test, FamiliarRuntime(SENTIMENT), payload_log=str(path), payload_log_share=1)
