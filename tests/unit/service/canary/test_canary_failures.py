"""A candidate that fails, hangs or is slow costs no answer, and is rolled back."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest
from fastapi import FastAPI

from omnivec2.canary.canary_state import read_canaries
from omnivec2.errors import ModelNotReadyError, OverloadedError
from omnivec2.preprocess import Array
from service.request_context import ClientDisconnectedError
from service.runtimes.base import Inference, Model
from tests.support.model_repositories.tiny_models import tiny_heads
from tests.support.requests.asgi import ROUTE, ask, run
from tests.support.requests.event_streams import parse_events
from tests.support.sample_files.sounds import tones, written
from tests.support.service_parts.two_versions import TwoVersions, exposition, put, shown, versions
from tests.support.waiting import until

AUDIO = next(head for head in tiny_heads() if head.route == "audio/events")


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


def test_a_defect_of_a_candidate_is_logged_with_its_trace(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(tmp_path, share=100.0)
    runtime = TwoVersions()
    runtime.candidate_failure = ZeroDivisionError("a defect of the candidate")

    async def test(app: FastAPI) -> None:
        assert versions([await ask(app, ROUTE)]) == {(200, "1")}

    run(test, runtime, model_repo=tmp_path)
    assert "a defect of the new version of text/sentiment" in caplog.text
    assert "raise self.candidate_failure\nZeroDivisionError" in caplog.text


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
