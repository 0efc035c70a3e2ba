"""Models that are added, changed and removed while requests are answered."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from fastapi import FastAPI

from omnivec2.errors import ModelNotReadyError
from omnivec2.preprocess.formats import modality_libraries
from omnivec2.spec import Modality, TaskFamily
from service.runtimes.base import Model
from tests.support.model_repositories.tiny_models import classification
from tests.support.requests.asgi import ROUTE, SENTIMENT, ask, run
from tests.support.service_parts.service_fakes import FakeRuntime, letters_spec
from tests.support.waiting import until

TOPIC = classification("text/topic", "war", "peace")
PICTURES = letters_spec()
# Of a later release: no pre-processor here can make its inputs.
LATER = TOPIC.model_copy(update={"preprocess": TOPIC.preprocess.model_copy(update={"version": 99})})
STRANGE = TOPIC.model_copy(
    update={"preprocess": TOPIC.preprocess.model_copy(update={"parameters": {"words": -1}})}
)


def models(*specs: Any, version: str = "8") -> dict[str, Model]:
    return {spec.name: Model(spec, version) for spec in specs}


def test_a_request_that_meets_a_swap_is_answered_by_the_new_model() -> None:
    fake = FakeRuntime(SENTIMENT)

    async def test(app: FastAPI) -> None:
        fake.upcoming = models(SENTIMENT)
        reply = await ask(app, ROUTE)
        assert (reply.status, reply.headers["x-model-version"]) == (200, "8")

    run(test, fake, refresh_seconds=0)


def test_many_requests_that_meet_a_swap_refresh_once() -> None:
    fake = FakeRuntime(SENTIMENT, delay_seconds=0.05)

    async def test(app: FastAPI) -> None:
        fake.upcoming = models(SENTIMENT)
        replies = await asyncio.gather(*(ask(app, ROUTE) for _ in range(20)))
        assert {reply.headers["x-model-version"] for reply in replies} == {"8"}
        assert fake.looks == 1

    run(test, fake, refresh_seconds=0)


def test_several_tasks_that_meet_a_swap_are_answered_too() -> None:
    fake = FakeRuntime(SENTIMENT, TOPIC)

    async def test(app: FastAPI) -> None:
        kept = fake.models()[TOPIC.name]
        fake.upcoming = {**models(SENTIMENT), TOPIC.name: kept}
        reply = await ask(app, "/predict/text", query="tasks=topic,sentiment")
        assert (reply.status, reply.headers["x-model-version"]) == (200, "7,8")

    run(test, fake, refresh_seconds=0)


def test_a_request_to_a_model_that_was_removed_fails() -> None:
    fake = FakeRuntime(SENTIMENT)

    async def test(app: FastAPI) -> None:
        fake.upcoming = models(TOPIC)
        assert (await ask(app, ROUTE)).status == 503
        assert (await ask(app, ROUTE)).status == 404

    run(test, fake, refresh_seconds=0)


def test_routes_lists_and_documents_follow_the_models() -> None:
    fake = FakeRuntime(SENTIMENT)

    async def test(app: FastAPI) -> None:
        async def known() -> set[str]:
            document = (await ask(app, "/openapi.json", method="GET")).json
            listed = (await ask(app, "/models", method="GET")).json["models"]
            predicts = {path for path in document["paths"] if path.startswith("/predict/text/")}
            assert predicts == {model["predict"] for model in listed}
            return predicts

        assert await known() == {ROUTE}
        fake.upcoming = {**fake.models(), **models(TOPIC)}
        await until(lambda: fake.upcoming is None)
        await until(lambda: len(app.state.gateway.dataplane.heads) == 2)
        assert await known() == {ROUTE, "/predict/text/topic"}
        assert (await ask(app, "/predict/text/topic")).status == 200
        fake.upcoming = models(TOPIC)
        await until(lambda: len(app.state.gateway.dataplane.heads) == 1)
        assert await known() == {"/predict/text/topic"}
        assert (await ask(app, ROUTE)).status == 404

    run(test, fake, refresh_seconds=0.02)


def test_a_model_whose_inputs_cannot_be_made_is_refused_alone() -> None:
    for spec, reason in ((LATER, "version 99"), (STRANGE, "words")):

        async def test(app: FastAPI, reason: str = reason) -> None:
            assert (await ask(app, ROUTE)).status == 200
            (refused,) = (await ask(app, "/models", method="GET")).json["refused"]
            assert refused["name"] == TOPIC.name
            assert reason in refused["reason"]

        run(test, FakeRuntime(SENTIMENT, spec))


def test_a_model_whose_libraries_are_not_installed_is_refused_with_the_command_that_installs_them(
    monkeypatch,
) -> None:
    monkeypatch.setitem(modality_libraries.LIBRARIES, Modality.IMAGE, ("no_such_library",))

    async def test(app: FastAPI) -> None:
        assert (await ask(app, ROUTE)).status == 200
        refused = (await ask(app, "/readyz", method="GET")).json["refused"]
        assert refused == {
            PICTURES.name: "image needs no_such_library: pip install 'omnivec2-serve[image]'"
        }

    run(test, FakeRuntime(SENTIMENT, PICTURES))


def test_a_model_whose_answers_need_a_missing_library_is_refused_too(monkeypatch) -> None:
    monkeypatch.delitem(sys.modules, "omnivec2.postprocess.segmentation", raising=False)
    monkeypatch.setitem(sys.modules, "PIL", None)  # as if it were not installed
    spec = SENTIMENT.model_copy(update={"task": "areas", "family": TaskFamily.SEGMENTATION})

    async def test(app: FastAPI) -> None:
        (reason,) = (await ask(app, "/readyz", method="GET")).json["refused"].values()
        assert reason.startswith("text_areas: segmentation needs PIL: pip install")

    run(test, FakeRuntime(SENTIMENT, spec))


def test_a_service_that_can_serve_no_model_says_why() -> None:
    async def test(app: FastAPI) -> None:
        reply = await ask(app, "/readyz", method="GET")
        assert reply.status == 503
        assert "version 99" in reply.json["detail"]

    run(test, FakeRuntime(LATER))


def test_a_failed_poll_for_models_is_not_the_last() -> None:
    fake = FakeRuntime(SENTIMENT)
    look = fake.refresh
    failures = [ModelNotReadyError("no"), RuntimeError("a defect")]

    async def refresh() -> bool:
        if failures:
            raise failures.pop()
        return await look()

    fake.refresh = refresh  # type: ignore[method-assign]

    async def test(app: FastAPI) -> None:
        fake.upcoming = models(SENTIMENT, TOPIC)
        await until(lambda: len(app.state.gateway.dataplane.heads) == 2)

    run(test, fake, refresh_seconds=0.02)


def test_a_runtime_that_is_not_ready_yet_is_started_again() -> None:
    fake = FakeRuntime(SENTIMENT)
    fake.failure = ModelNotReadyError("no Triton server can be reached")

    async def test(app: FastAPI) -> None:
        reply = await ask(app, ROUTE)
        assert reply.status == 503
        assert reply.json["detail"] == "no Triton server can be reached; try again soon"
        ready = await ask(app, "/readyz", method="GET")
        assert (ready.status, ready.json["detail"]) == (503, "no Triton server can be reached")
        fake.failure = None
        await asyncio.wait((app.state.gateway.loading,), timeout=5)
        assert (await ask(app, ROUTE)).status == 200

    run(test, fake, load_seconds=0.1)
