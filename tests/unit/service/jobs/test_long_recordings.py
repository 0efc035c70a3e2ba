"""Jobs with inputs over the limits of requests: recordings are cut, and answered in pieces."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI

from omnivec2.preprocess import Array
from service.runtimes.base import Inference, Model
from tests.support.requests.asgi import ROUTE, SENTIMENT, ask, run
from tests.support.sample_files.sounds import tones, written
from tests.support.service_parts.service_fakes import FakeRuntime
from tests.unit.service.jobs.test_jobs_over_http import AUDIO, answered, start

SHORT_AUDIO = AUDIO.model_copy(update={"limits": AUDIO.limits.model_copy(update={"seconds": 5.0})})
FORM = "multipart/form-data; boundary=x"


def in_form(sound: bytes, parameters: bytes) -> bytes:
    """A form with a file and parameters."""
    part = b"--x\r\nContent-Disposition: form-data; name="
    file = part + b'"file"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\n' + sound
    return file + b"\r\n" + part + b'"parameters"\r\n\r\n' + parameters + b"\r\n--x--\r\n"


def test_a_recording_over_the_limits_is_answered_in_pieces(settings: dict[str, Any]) -> None:
    async def test(app: FastAPI) -> None:
        sound = written(tones(17))
        route, kind = "/predict/audio/events", "audio/wav"
        assert (await ask(app, route, sound, content_type=kind)).status == 413
        job = await answered(app, await start(app, route, sound, content_type=kind))
        assert job["state"] == "done", job
        assert {entry["label"] for entry in job["answer"]} == set(AUDIO.labels)
        assert job["progress"]["done"] == job["progress"]["total"] >= 3
        form = in_form(sound, b'{"top_k": 1}')
        first = await answered(app, await start(app, route, form, content_type=FORM))
        assert first["answer"] == job["answer"][:1]
        wrong = in_form(sound, b'{"top": 1}')
        failed = await answered(app, await start(app, route, wrong, content_type=FORM))
        assert (failed["status"], failed["problem"]["field"]) == (422, "parameters.top")
        several = await ask(
            app,
            "/predict/audio",
            sound,
            query="tasks=events",
            prefer="respond-async",
            content_type=kind,
        )
        assert (await answered(app, several))["answer"] == {"events": job["answer"]}

    run(test, FakeRuntime(SHORT_AUDIO), **settings)


class StoppingRuntime(FakeRuntime):
    """Answers so many batches, and none after them."""

    answers_left = 10**6

    async def infer(self, model: Model, inputs: Mapping[str, Array]) -> Inference:
        if not self.answers_left:
            await asyncio.Event().wait()
        self.answers_left -= 1
        return await super().infer(model, inputs)


def test_the_next_attempt_goes_on_where_the_last_one_ended(settings: dict[str, Any]) -> None:
    sound = np.concatenate([tones(5.5), 0 * tones(23)])
    route, kind = "/predict/audio/events", "audio/wav"
    seen: list[Any] = []

    async def whole(app: FastAPI) -> None:
        seen.append(await answered(app, await start(app, route, body, content_type=kind)))

    async def begin(app: FastAPI) -> None:
        reply = await start(app, route, body, content_type=kind)
        async with asyncio.timeout(60):
            while len(await app.state.jobs._store.pieces(reply.json["id"])) < 4:
                await asyncio.sleep(0.01)
        seen.append(reply)

    async def go_on(app: FastAPI) -> None:
        seen.append(await answered(app, seen[1]))

    body = written(sound)
    complete, stopping, fresh = (StoppingRuntime(SHORT_AUDIO) for _ in range(3))
    run(whole, complete, **settings)
    stopping.answers_left = 4
    run(begin, stopping, **settings)
    run(go_on, fresh, **settings)
    assert seen[2]["answer"] == seen[0]["answer"]
    assert seen[2]["notes"] == seen[0]["notes"]
    assert seen[2]["progress"] == seen[0]["progress"]
    assert len(fresh.batches) == len(complete.batches) - 3, "the last of four is computed again"


def test_a_note_says_how_many_pieces_it_is_about(settings: dict[str, Any]) -> None:
    async def test(app: FastAPI) -> None:
        sound = np.concatenate([tones(5.5), 0 * tones(12)])
        route, kind = "/predict/audio/events", "audio/wav"
        body = written(sound)
        job = await answered(app, await start(app, route, body, content_type=kind))
        (note,) = [note for note in job["notes"] if note["code"] == "empty"]
        count = job["progress"]["total"]
        assert re.match(rf"in \d of {count} pieces of the recording: .* silent", note["text"])
        strict = await start(app, route, body, content_type=kind, x_strict="true")
        assert (await answered(app, strict))["status"] == 422

    run(test, FakeRuntime(SHORT_AUDIO), **settings)


@pytest.mark.parametrize(
    ("body", "kind", "changed", "status", "words"),
    [
        (written(tones(17)), "audio/wav", {"jobs_max_recording_seconds": 10}, 413, "10 seconds"),
        (written(tones(17)), "audio/x-strange", {}, 415, "does not take audio/x-strange"),
        (b"nonsense" * 2000, "audio/wav", {}, 422, "not a recording of sound"),
        (written(tones(17))[:300_000], "audio/wav", {}, 422, "truncated"),
    ],
)
def test_a_recording_that_cannot_be_cut_has_a_problem(
    settings: dict[str, Any],
    body: bytes,
    kind: str,
    changed: dict[str, Any],
    status: int,
    words: str,
) -> None:
    narrow = SHORT_AUDIO.limits.model_copy(update={"bytes": 10_000})
    head = SHORT_AUDIO.model_copy(update={"limits": narrow})

    async def test(app: FastAPI) -> None:
        job = await answered(
            app, await start(app, "/predict/audio/events", body, content_type=kind)
        )
        assert (job["state"], job["status"]) == ("failed", status)
        assert words in job["problem"]["detail"]

    run(test, FakeRuntime(head), **{**settings, **changed})


def test_other_inputs_have_wider_limits_as_jobs(settings: dict[str, Any]) -> None:
    narrow = SENTIMENT.limits.model_copy(update={"bytes": 100})
    head = SENTIMENT.model_copy(update={"limits": narrow})

    async def test(app: FastAPI) -> None:
        body = b"good " * 50
        assert (await ask(app, ROUTE, body, content_type="text/plain")).status == 413
        job = await answered(app, await start(app, body=body, content_type="text/plain"))
        assert job["state"] == "done"
        job = await answered(app, await start(app, body=3 * body, content_type="text/plain"))
        assert job["status"] == 413

    run(test, FakeRuntime(head), **settings)
