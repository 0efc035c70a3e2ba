from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest
from fastapi import FastAPI

from omnivec2.errors import ArtifactError, ModelNotReadyError, OverloadedError
from service.app import create_app
from service.runtimes.base import Health
from service.settings import Settings
from tests.support.requests.asgi import ROUTE, SENTIMENT, Reply, ask, run
from tests.support.service_parts.service_fakes import FakeRuntime


def test_an_answer_names_its_model_and_the_time_of_each_stage() -> None:
    async def test(app: FastAPI) -> None:
        reply = await ask(app, ROUTE)
        assert reply.status == 200
        assert {row["label"] for row in reply.json[0]} == {"no", "yes"}
        assert reply.headers["x-model"] == "text_sentiment"
        assert reply.headers["x-model-version"] == "7"
        stages = [part.split(";")[0] for part in reply.headers["server-timing"].split(", ")]
        assert stages == ["decode", "preprocess", "queue", "compute", "postprocess"]

    run(test)


@pytest.mark.parametrize("name", ["abc-1", "2026/11/22:7"])
def test_a_safe_request_id_is_echoed(name: str) -> None:
    async def test(app: FastAPI) -> None:
        assert (await ask(app, ROUTE, X_Request_ID=name)).headers["x-request-id"] == name

    run(test)


@pytest.mark.parametrize("name", ["", "a b", "x" * 200, "a\x00b", "<script>"])
def test_another_request_id_is_replaced(name: str) -> None:
    async def test(app: FastAPI) -> None:
        made = (await ask(app, ROUTE, X_Request_ID=name)).headers["x-request-id"]
        assert made != name
        assert len(made) == 32

    run(test)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PUT", "/", 405),
        ("GET", "/nonsense", 404),
        ("GET", ROUTE, 405),
        ("POST", "/models", 405),
        ("POST", "/predict/text", 422),
        ("POST", "/predict/smell", 404),
        ("POST", "/predict/text/nonsense", 404),
        ("POST", "/predict/smell/sentiment", 404),
        ("GET", "/models/text/nonsense", 404),
        ("POST", "/predict/text/%00", 404),
    ],
)
def test_what_is_not_there_is_answered_with_a_problem(method: str, path: str, status: int) -> None:
    async def test(app: FastAPI) -> None:
        reply = await ask(app, path, method=method)
        assert reply.status == status
        assert reply.headers["content-type"] == "application/problem+json"
        assert reply.headers["x-request-id"]
        assert reply.json["status"] == status
        assert reply.json["error"] == reply.json["detail"]

    run(test)


def test_a_wrong_method_says_which_is_right() -> None:
    async def test(app: FastAPI) -> None:
        assert (await ask(app, ROUTE, method="PUT")).headers["allow"] == "POST"

    run(test)


def test_a_query_parameter_is_refused_rather_than_ignored() -> None:
    async def test(app: FastAPI) -> None:
        reply = await ask(app, ROUTE, query="top_k=1")
        assert (reply.status, reply.json["field"]) == (422, "query.top_k")

    run(test)


def test_an_answer_that_takes_too_long_is_cancelled() -> None:
    async def test(app: FastAPI) -> None:
        reply = await ask(app, ROUTE, X_Request_Timeout="0.05")
        assert reply.status == 504
        assert app.state.gateway.admission.requests == 0

    run(test, FakeRuntime(SENTIMENT, delay_seconds=5))


@pytest.mark.parametrize("value", ["soon", "-1", "0", "nan", ""])
def test_an_invalid_timeout_is_refused(value: str) -> None:
    async def test(app: FastAPI) -> None:
        assert (await ask(app, ROUTE, X_Request_Timeout=value)).status == 422

    run(test)


def test_the_work_for_a_client_that_disconnects_is_cancelled() -> None:
    async def test(app: FastAPI) -> None:
        await asyncio.wait_for(ask(app, ROUTE, leaves=True), 2)
        assert app.state.gateway.admission.requests == 0
        assert b'status="499"' in (await ask(app, "/metrics", method="GET")).body

    run(test, FakeRuntime(SENTIMENT, delay_seconds=30))


def test_requests_over_the_limit_get_a_retry_after() -> None:
    async def test(app: FastAPI) -> None:
        replies = await asyncio.gather(*(ask(app, ROUTE) for _ in range(4)))
        assert sorted(reply.status for reply in replies) == [200, 200, 429, 429]
        assert all("retry-after" in r.headers for r in replies if r.status == 429)

    run(test, FakeRuntime(SENTIMENT, delay_seconds=0.2), max_pending_requests=2)


@pytest.mark.parametrize(
    ("failure", "status"), [(OverloadedError("full"), 429), (ModelNotReadyError("broken"), 503)]
)
def test_a_failure_of_the_runtime_is_not_a_500(failure: Exception, status: int) -> None:
    runtime = FakeRuntime(SENTIMENT)

    async def fail(*_: object) -> None:
        raise failure

    runtime.infer = fail  # type: ignore[assignment,method-assign]

    async def test(app: FastAPI) -> None:
        assert (await ask(app, ROUTE)).status == status

    run(test, runtime)


def test_a_defect_is_answered_without_a_trace() -> None:
    runtime = FakeRuntime(SENTIMENT)

    async def fail(*_: object) -> None:
        raise RuntimeError("secret")

    runtime.infer = fail  # type: ignore[assignment,method-assign]

    async def test(app: FastAPI) -> None:
        reply = Reply()
        with pytest.raises(RuntimeError):
            # The server above logs what is raised; the caller has the reply by then.
            await ask(app, ROUTE, reply=reply)
        assert reply.status == 500
        assert b"secret" not in reply.body
        assert reply.headers["x-request-id"]

    run(test, runtime)


def test_the_service_is_alive_but_not_ready_while_models_load() -> None:
    runtime = FakeRuntime(SENTIMENT)

    async def wait_forever() -> None:
        await asyncio.sleep(60)

    runtime.start = wait_forever  # type: ignore[method-assign]

    async def test(app: FastAPI) -> None:
        assert (await ask(app, "/healthz", method="GET")).status == 200
        for path, method in (("/readyz", "GET"), ("/models", "GET"), (ROUTE, "POST")):
            reply = await ask(app, path, method=method)
            assert reply.status == 503
            assert reply.json["error"]

    run(test, runtime, load_seconds=0.05)


def test_a_service_that_cannot_load_says_why() -> None:
    runtime = FakeRuntime(SENTIMENT)
    runtime.failure = ArtifactError("no models here")

    async def test(app: FastAPI) -> None:
        reply = await ask(app, "/readyz", method="GET")
        assert (reply.status, reply.json["detail"]) == (503, "no models here")

    run(test, runtime)


def test_a_defect_while_loading_is_not_mistaken_for_slow_loading() -> None:
    runtime = FakeRuntime(SENTIMENT)
    runtime.failure = RuntimeError("secret")

    async def test(app: FastAPI) -> None:
        reply = await ask(app, "/readyz", method="GET")
        assert (reply.status, "could not be loaded" in reply.json["detail"]) == (503, True)
        assert b"secret" not in reply.body

    run(test, runtime)


def test_refused_models_are_shown() -> None:
    runtime = FakeRuntime(SENTIMENT)
    runtime.health_now = Health(True, refused={"text_topic": "altered"})

    async def test(app: FastAPI) -> None:
        assert (await ask(app, "/readyz", method="GET")).json["refused"] == {
            "text_topic": "altered"
        }
        listed = (await ask(app, "/models", method="GET")).json
        assert listed["refused"] == [{"name": "text_topic", "reason": "altered"}]

    run(test, runtime)


def test_models_are_described_with_metrics_and_licences() -> None:
    async def test(app: FastAPI) -> None:
        [model] = (await ask(app, "/models", method="GET")).json["models"]
        assert model == (await ask(app, "/models/text/sentiment", method="GET")).json
        assert model["labels"] == ["no", "yes"]
        assert model["metrics"][0]["value"] == 0.5
        assert model["data"][0]["licence"] == "CC0-1.0"
        assert model["predict"] == ROUTE

    run(test)


def test_the_temperature_of_a_calibrated_head_is_listed() -> None:
    listed = []

    async def test(app: FastAPI) -> None:
        listed.append((await ask(app, "/models/text/sentiment", method="GET")).json)

    run(test)
    run(test, FakeRuntime(SENTIMENT.model_copy(update={"temperature": 1.5})))
    plain, calibrated = listed
    assert "temperature" not in plain
    assert calibrated["temperature"] == 1.5


def test_inputs_are_described_with_their_source() -> None:
    async def test(app: FastAPI) -> None:
        model = (await ask(app, "/models/text/sentiment", method="GET")).json
        assert "English" in model["inputs"][0]["source"]["quantity"]
        assert "truncate" in model["source_options"]

    run(test)


def test_metrics_count_requests_and_time_stages() -> None:
    async def test(app: FastAPI) -> None:
        await ask(app, ROUTE)
        await ask(app, "/predict/made/up")
        text = (await ask(app, "/metrics", method="GET")).body.decode()
        assert 'requests_total{modality="text",status="200",task="sentiment"} 1.0' in text
        assert 'requests_total{modality="unknown",status="404",task="unknown"} 1.0' in text
        labels = 'modality="text",stage="compute",task="sentiment"'
        assert f"stage_seconds_count{{{labels}}} 1.0" in text
        assert "made" not in text

    run(test)


def test_two_applications_do_not_share_metrics() -> None:
    for _ in range(2):
        run(lambda app: ask(app, ROUTE))
    assert create_app(Settings()) is not create_app(Settings())


def test_importing_the_application_does_not_import_torch() -> None:
    code = "import sys, service.app; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
