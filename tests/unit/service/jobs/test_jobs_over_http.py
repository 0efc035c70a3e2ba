"""Jobs of an application: taken, shown, answered and cancelled over HTTP."""

from __future__ import annotations

import asyncio
import errno
import json
from typing import Any

import pytest
from fastapi import FastAPI

from omnivec2.errors import ArtifactError
from service.app import create_app
from service.http.job_submission import wants_job
from service.jobs.stores.file_sink import FileSink
from service.settings import Settings
from tests.support.model_repositories.tiny_models import tiny_heads
from tests.support.requests.asgi import ROUTE, SENTIMENT, Reply, ask, run
from tests.support.sample_files.sounds import tones, written
from tests.support.service_parts.service_fakes import FakeRuntime

AUDIO = next(head for head in tiny_heads() if head.route == "audio/events")


async def start(app: FastAPI, path: str = ROUTE, body: bytes = b"good", **headers: str) -> Reply:
    return await ask(app, path, body, prefer="respond-async", **headers)


async def answered(app: FastAPI, reply: Reply, **headers: str) -> dict[str, Any]:
    """The document of a job once it is over."""
    assert reply.status == 202, reply.body
    async with asyncio.timeout(60):
        while True:
            seen = await ask(app, reply.headers["location"], b"", "GET", **headers)
            assert seen.status == 200
            if seen.json["state"] not in ("queued", "running"):
                assert "retry-after" not in seen.headers
                return dict(seen.json)
            assert seen.headers["retry-after"] == "1"
            await asyncio.sleep(0.02)


def test_a_job_is_answered_as_a_request_for_it_would_be(settings: dict[str, Any]) -> None:
    async def test(app: FastAPI) -> None:
        expected = await ask(app, ROUTE)
        reply = await start(app)
        assert reply.headers["preference-applied"] == "respond-async"
        assert reply.headers["location"] == f"/jobs/{reply.json['id']}"
        job = await answered(app, reply)
        assert (job["state"], job["status"], job["answer"]) == ("done", 200, expected.json)
        assert job["models"] == [{"name": "text_sentiment", "version": "7"}]
        assert job["progress"] == {"done": 1, "total": 1}
        assert job["attempts"] == 1
        metrics = app.state.gateway.metrics
        assert "omnivec2_jobs_accepted_total 1.0" in metrics.exposition().decode()
        async with asyncio.timeout(20):
            while (
                'omnivec2_jobs_ended_total{state="done"} 1.0' not in metrics.exposition().decode()
            ):
                await asyncio.sleep(0.01)

    run(test, **settings)


@pytest.mark.parametrize(
    ("path", "body", "kind"),
    [
        (ROUTE, b'{"inputs": ["good", "bad"], "parameters": {"top_k": 1}}', "application/json"),
        (
            ROUTE,
            b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n'
            b"Content-Type: text/plain\r\n\r\ngood\r\n--x--\r\n",
            "multipart/form-data; boundary=x",
        ),
    ],
)
def test_every_form_of_a_request_may_be_a_job(
    settings: dict[str, Any], path: str, body: bytes, kind: str
) -> None:
    async def test(app: FastAPI) -> None:
        expected = await ask(app, path, body, content_type=kind)
        job = await answered(app, await start(app, path, body, content_type=kind))
        assert job["answer"] == expected.json

    run(test, **settings)


def test_several_tasks_may_be_one_job(settings: dict[str, Any]) -> None:
    async def test(app: FastAPI) -> None:
        path, query = "/predict/text", "tasks=sentiment"
        reply = await ask(app, path, query=query, prefer="respond-async")
        job = await answered(app, reply)
        assert job["answer"] == (await ask(app, path, query=query)).json
        assert job["tasks"] == ["sentiment"]

    run(test, **settings)


def test_a_job_that_cannot_be_answered_has_the_problem_of_a_request(
    settings: dict[str, Any],
) -> None:
    async def test(app: FastAPI) -> None:
        body = b'{"inputs": "good", "parameters": {"top": 1}}'
        expected = await ask(app, ROUTE, body, content_type="application/json")
        job = await answered(app, await start(app, body=body, content_type="application/json"))
        assert (job["state"], job["status"]) == ("failed", 422)
        assert job["problem"] == {**expected.json, "instance": f"/jobs/{job['id']}"}

    run(test, **settings)


def test_a_strict_job_has_no_answer_if_there_are_notes(settings: dict[str, Any]) -> None:
    async def test(app: FastAPI) -> None:
        silence = written(0 * tones(1))
        route, kind = "/predict/audio/events", "audio/wav"
        job = await answered(app, await start(app, route, silence, content_type=kind))
        assert [note["code"] for note in job["notes"]] == ["empty"]
        strict = await start(app, route, silence, content_type=kind, x_strict="true")
        job = await answered(app, strict)
        assert (job["state"], job["status"]) == ("failed", 422)

    run(test, FakeRuntime(AUDIO), **settings)


def test_the_answer_of_a_job_takes_feedback(settings: dict[str, Any]) -> None:
    async def test(app: FastAPI) -> None:
        reply = await start(app, x_request_id="a-job")
        job = await answered(app, reply)
        assert job["request_id"] == "a-job"
        path, body = "/feedback/a-job", b'{"label": 0}'
        feedback = await ask(app, path, body, content_type="application/json")
        assert feedback.status == 200
        assert feedback.json["samples"][0]["truth"] == [SENTIMENT.labels[0]]

    run(test, **settings, feedback_answers=10)


def test_a_cancelled_job_stays_cancelled(settings: dict[str, Any]) -> None:
    async def test(app: FastAPI) -> None:
        reply = await start(app)
        location = reply.headers["location"]
        seen = await ask(app, location, b"", "DELETE")
        assert (seen.status, seen.json["state"]) == (200, "cancelled")
        assert (await answered(app, reply))["state"] == "cancelled"
        assert "answer" not in (await ask(app, location, b"", "DELETE")).json

    run(test, FakeRuntime(SENTIMENT, delay_seconds=30), **settings)


def test_a_job_that_is_done_is_not_cancelled(settings: dict[str, Any]) -> None:
    async def test(app: FastAPI) -> None:
        reply = await start(app)
        job = await answered(app, reply)
        seen = await ask(app, reply.headers["location"], b"", "DELETE")
        assert seen.json == job

    run(test, **settings)


@pytest.mark.parametrize("path", ["/jobs/unknown", "/jobs/" + 24 * "a", "/jobs/..%2f"])
def test_an_unknown_job_is_a_404(settings: dict[str, Any], path: str) -> None:
    async def test(app: FastAPI) -> None:
        for method in ("GET", "DELETE"):
            assert (await ask(app, path, b"", method)).status == 404

    run(test, **settings)


def test_a_wrong_method_is_told_all_that_are_right(settings: dict[str, Any]) -> None:
    async def test(app: FastAPI) -> None:
        reply = await ask(app, "/jobs/x", b"", "POST")
        assert (reply.status, reply.headers["allow"]) == (405, "DELETE, GET")
        assert reply.json["detail"] == "/jobs/x does not take POST; it takes DELETE, GET"

    run(test, **settings)


@pytest.mark.parametrize("header", ["X-Request-Timeout", "X-Priority", "X-Strict"])
def test_a_header_that_is_not_understood_is_refused(settings: dict[str, Any], header: str) -> None:
    async def test(app: FastAPI) -> None:
        reply = await start(app, **{header: "perhaps"})
        assert (reply.status, header in reply.json["detail"]) == (422, True)

    run(test, **settings)


def test_a_disk_that_is_full_is_no_defect_of_the_service(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async def test(app: FastAPI) -> None:
        monkeypatch.setattr(FileSink, "_append", fail)
        reply = await start(app)
        assert (reply.status, "No space left on device" in reply.json["detail"]) == (503, True)

    run(test, **settings)


def test_without_a_store_jobs_are_off_and_say_so() -> None:
    async def test(app: FastAPI) -> None:
        for reply in (await start(app), await ask(app, "/jobs/x", b"", "GET")):
            assert reply.status == 501
            assert "OMNIVEC2_JOBS_STORE" in reply.json["detail"]
        assert "/jobs/{id}" not in app.openapi()["paths"]
        assert "omnivec2_jobs" not in app.state.gateway.metrics.exposition().decode()

    run(test)


def test_the_document_of_the_api_has_jobs_where_they_are_on(settings: dict[str, Any]) -> None:
    async def test(app: FastAPI) -> None:
        document = app.openapi()
        assert set(document["paths"]["/jobs/{id}"]) == {"get", "delete"}
        operation = document["paths"]["/predict/text/sentiment"]["post"]
        assert "202" in operation["responses"]
        assert "Prefer" in [p["name"] for p in operation["parameters"]]
        json.dumps(document)

    run(test, **settings)


@pytest.mark.parametrize(
    ("changed", "body", "status", "words"),
    [
        ({"jobs_max_body_bytes": 3}, b"good", 413, "larger than 3 bytes"),
        ({"jobs_max_queued": 1}, b"good", 429, "1 jobs are waiting already"),
        ({"jobs_max_stored_bytes": 5}, b"good", 429, "at most 5 are kept"),
        ({}, b"", 422, "the body is empty"),
    ],
)
def test_a_job_over_a_limit_is_refused(
    settings: dict[str, Any], changed: dict[str, Any], body: bytes, status: int, words: str
) -> None:
    async def test(app: FastAPI) -> None:
        if status == 429:
            assert (await start(app)).status == 202
        for length in ({}, {"content_length": str(len(body))}):
            reply = await start(app, body=body, **length)
            assert (reply.status, words in reply.json["detail"]) == (status, True), reply.json

    run(test, FakeRuntime(SENTIMENT, delay_seconds=30), **{**settings, **changed})


def test_jobs_wait_for_requests(settings: dict[str, Any]) -> None:
    async def test(app: FastAPI) -> None:
        admission = app.state.gateway.admission
        admission.requests = 10**6
        reply = await start(app)
        await asyncio.sleep(0.3)
        seen = await ask(app, reply.headers["location"], b"", "GET")
        assert seen.json["progress"]["done"] == 0
        admission.requests = 0
        assert (await answered(app, reply))["state"] == "done"

    run(test, **settings)


@pytest.mark.parametrize(
    ("values", "is_wanted"),
    [
        ([], False),
        (["respond-async"], True),
        (["Respond-Async; x=1, wait=10"], True),
        (["wait=10", "handling=lenient, respond-async"], True),
        (['a="respond-async"'], False),
        (['a="x, respond-async, y"'], False),
        (["return=minimal"], False),
    ],
)
def test_the_preference_is_read_as_the_standard_says(values: list[str], is_wanted: bool) -> None:
    headers = [(b"prefer", value.encode()) for value in values]
    assert wants_job({"headers": [(b"accept", b"*/*"), *headers]}) is is_wanted


def test_a_webhook_to_a_host_that_is_not_allowed_is_refused(settings: dict[str, Any]) -> None:
    async def test(app: FastAPI) -> None:
        evil = await start(app, x_webhook="https://169.254.169.254/latest")
        assert (evil.status, "may not go to" in evil.json["detail"]) == (403, True)
        plain = await start(app, x_webhook="http://hooks.example/")
        assert (plain.status, plain.json["field"]) == (422, "X-Webhook")

    webhooks = {"jobs_webhook_hosts": "hooks.example", "jobs_webhook_secret": "secret"}
    run(test, **settings, **webhooks)


def test_a_webhook_without_a_job_is_refused(settings: dict[str, Any]) -> None:
    async def test(app: FastAPI) -> None:
        reply = await ask(app, ROUTE, b"good", x_webhook="https://hooks.example/")
        assert (reply.status, reply.json["field"]) == (422, "X-Webhook")
        assert "add Prefer: respond-async" in reply.json["detail"]

    run(test, **settings)


def test_a_redis_without_an_address_is_an_error_of_the_settings() -> None:
    with pytest.raises(ArtifactError, match="OMNIVEC2_SHARED_STATE_URL"):
        create_app(Settings(jobs_store="redis"), FakeRuntime(SENTIMENT))
