"""Answers of /predict that are kept: when they are given again, to whom, and at what cost."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import ValidationError

from service.access.api_keys import create_key
from service.http.notes_header import parse_notes
from service.runtimes.base import Model
from service.settings import Settings
from tests.support.model_repositories.tiny_models import classification
from tests.support.requests.asgi import ROUTE, SENTIMENT, ask, run
from tests.support.requests.cached_answers import HIT, MISS, lookups, post, status_of
from tests.support.requests.event_streams import streaming
from tests.support.service_parts.service_fakes import FakeRuntime

TOPIC = classification("text/topic", "war", "peace")
GOOD = {"inputs": "good"}
LONG = {"inputs": "good film " * 400}


def cached(test: Any, runtime: FakeRuntime | None = None, **settings: Any) -> None:
    run(test, runtime, **{"response_cache_mib": 1, **settings})


def test_nothing_is_kept_by_default() -> None:
    async def test(app: FastAPI) -> None:
        assert app.state.gateway.response_cache is None
        assert [status_of(await post(app, ROUTE, GOOD)) for _ in range(2)] == ["", ""]

    run(test)


def test_modules_of_the_cache_are_not_imported_without_it() -> None:
    code = (
        "import sys, service.app; print([name for name in sys.modules if"
        " name.startswith(('service.response_cache', 'service.http.caching'))])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_the_same_request_is_answered_from_the_cache_without_the_network() -> None:
    fake = FakeRuntime(SENTIMENT)

    async def test(app: FastAPI) -> None:
        first, again = [await post(app, ROUTE, GOOD) for _ in range(2)]
        assert [status_of(reply) for reply in (first, again)] == [MISS, HIT]
        assert first.body == again.body
        assert len(fake.batches) == 1
        for name in ("x-model", "x-model-version", "content-type"):
            assert first.headers[name] == again.headers[name]
        assert await lookups(app) == {"miss": 1, "hit": 1}
        text = (await ask(app, "/metrics", method="GET")).body.decode()
        labels = 'modality="text",status="200",task="sentiment"'
        assert f"omnivec2_requests_total{{{labels}}} 2.0" in text
        assert "omnivec2_max_response_cache_bytes 1.048576e+06" in text

    cached(test, fake)


def test_the_form_of_a_request_does_not_matter_but_all_else_does() -> None:
    async def test(app: FastAPI) -> None:
        spaced = json.dumps({"inputs": "good", "parameters": {}}, indent=3).encode()
        length = {"content_type": "application/json", "content_length": str(len(spaced))}
        await post(app, ROUTE, GOOD)
        assert status_of(await ask(app, ROUTE, spaced, **length)) == HIT
        for body in (
            {"inputs": "bad"},
            {"inputs": ["good"]},
            {"inputs": "good", "parameters": {"top_k": 1}},
        ):
            assert status_of(await post(app, ROUTE, body)) == MISS
            assert status_of(await post(app, ROUTE, body)) == HIT
        # A strict request must not be given an answer with notes.
        assert status_of(await post(app, ROUTE, GOOD, x_strict="true")) == MISS

    cached(test)


def test_several_tasks_are_kept_for_their_heads_in_their_order() -> None:
    async def test(app: FastAPI) -> None:
        both = "tasks=sentiment,topic"
        first = await post(app, "/predict/text", GOOD, both)
        again = await post(app, "/predict/text", GOOD, both)
        assert (status_of(again), again.body) == (HIT, first.body)
        assert again.headers["x-model"] == "text_sentiment,text_topic"
        assert status_of(await post(app, "/predict/text", GOOD, "tasks=topic,sentiment")) == MISS
        assert status_of(await post(app, "/predict/text", GOOD, "tasks=topic")) == MISS
        assert (await lookups(app))["hit"] == 2

    cached(test, FakeRuntime(SENTIMENT, TOPIC))


def test_notes_are_kept_and_counted() -> None:
    async def test(app: FastAPI) -> None:
        first, again = [await post(app, ROUTE, LONG) for _ in range(2)]
        assert status_of(again) == HIT
        assert parse_notes(again.headers["x-notes"]) == parse_notes(first.headers["x-notes"])
        text = (await ask(app, "/metrics", method="GET")).body.decode()
        assert 'input_notes_total{code="cut",modality="text",task="sentiment"} 2.0' in text
        assert (await post(app, ROUTE, LONG, x_strict="true")).status == 422

    cached(test)


def test_failures_are_not_kept() -> None:
    async def test(app: FastAPI) -> None:
        for _ in range(2):
            assert (await post(app, ROUTE, {"inputs": 7})).status == 422
            assert (await post(app, ROUTE, LONG, x_strict="true")).status == 422
        assert app.state.gateway.response_cache.nbytes == 0
        assert app.state.gateway.admission.bytes == 0

    cached(test)


def test_callers_can_ask_for_what_is_computed_now() -> None:
    fake = FakeRuntime(SENTIMENT)

    async def test(app: FastAPI) -> None:
        async def ask_with(directive: str) -> str:
            return status_of(await post(app, ROUTE, GOOD, cache_control=directive))

        assert await ask_with("no-store") == "omnivec2; fwd=bypass"
        assert await ask_with("no-store") == "omnivec2; fwd=bypass"
        assert await ask_with("no-cache") == "omnivec2; fwd=request; stored"
        assert len(fake.batches) == 3
        assert await ask_with("max-age=60") == HIT
        assert await ask_with("no-cache") == "omnivec2; fwd=request; stored"
        assert await ask_with("no-store") == "omnivec2; fwd=bypass"
        assert await lookups(app) == {"bypass": 5, "hit": 1}

    cached(test, fake)


def test_an_answer_is_given_to_the_key_that_had_it_only(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    alice, bob = create_key(file, "alice"), create_key(file, "bob")

    async def apart(app: FastAPI) -> None:
        for key, wanted in ((alice, MISS), (bob, MISS), (alice, HIT), (bob, HIT)):
            assert status_of(await post(app, ROUTE, GOOD, x_api_key=key)) == wanted

    async def together(app: FastAPI) -> None:
        for key, wanted in ((alice, MISS), (bob, HIT)):
            assert status_of(await post(app, ROUTE, GOOD, x_api_key=key)) == wanted

    cached(apart, api_keys_file=file)
    cached(together, api_keys_file=file, response_cache_across_keys=True)


def test_a_key_may_not_have_answers_of_heads_that_it_may_not_use(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    able = create_key(file, "able")
    unable = create_key(file, "unable", heads=["text/topic"])

    async def test(app: FastAPI) -> None:
        assert status_of(await post(app, ROUTE, GOOD, x_api_key=able)) == MISS
        assert (await post(app, ROUTE, GOOD, x_api_key=unable)).status == 403

    runtime = FakeRuntime(SENTIMENT, TOPIC)
    cached(test, runtime, api_keys_file=file, response_cache_across_keys=True)


def test_a_hit_counts_as_a_request_and_costs_no_compute_seconds(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    key = create_key(file, "alice")

    async def used(app: FastAPI, what: str) -> float:
        text = (await ask(app, "/metrics", method="GET", x_api_key=key)).body.decode()
        lines = [line for line in text.splitlines() if line.startswith(f"omnivec2_key_{what}")]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if "alice" in line)

    async def test(app: FastAPI) -> None:
        await post(app, ROUTE, GOOD, x_api_key=key)
        seconds = await used(app, "compute_seconds_total")
        requests = await used(app, "requests_total")
        assert seconds > 0
        for _ in range(3):
            assert status_of(await post(app, ROUTE, GOOD, x_api_key=key)) == HIT
        assert await used(app, "compute_seconds_total") == seconds
        # Each look at the metrics is a request of the key, too.
        assert await used(app, "requests_total") == requests + 3 + 2

    cached(test, api_keys_file=file)


def test_a_hit_is_answered_although_the_service_is_full() -> None:
    fake = FakeRuntime(SENTIMENT, delay_seconds=0.3)

    async def test(app: FastAPI) -> None:
        await post(app, ROUTE, GOOD)
        async with asyncio.TaskGroup() as group:
            slow = group.create_task(post(app, ROUTE, {"inputs": "other"}))
            async with asyncio.timeout(20):
                while not app.state.gateway.admission.requests:
                    await asyncio.sleep(0.005)
            assert (await post(app, ROUTE, {"inputs": "third"})).status == 429
            reply = await post(app, ROUTE, GOOD, x_priority="low")
            assert (status_of(reply), reply.headers["x-priority"]) == (HIT, "low")
        assert slow.result().status == 200

    cached(test, fake, max_pending_requests=1)


def test_a_body_of_unknown_length_or_a_long_one_is_admitted_first_and_found_all_the_same() -> None:
    async def test(app: FastAPI) -> None:
        for body in (b"good", b"word " * 20_000):
            found = [await ask(app, ROUTE, body, content_type="text/plain") for _ in range(2)]
            assert [status_of(reply) for reply in found] == [MISS, HIT]
        text = (await ask(app, "/metrics", method="GET")).body.decode()
        assert 'admissions_total{outcome="admitted",priority="normal"} 4.0' in text

    cached(test)


def test_the_last_place_for_early_reading_taken_requests_are_admitted_first() -> None:
    async def test(app: FastAPI) -> None:
        reads = app.state.gateway.response_cache.early_reads
        while reads.enter():
            pass
        found = [status_of(await post(app, ROUTE, GOOD)) for _ in range(2)]
        assert found == [MISS, HIT]
        assert not reads.enter()

    cached(test)


def test_a_head_that_is_replaced_never_answers_again() -> None:
    fake = FakeRuntime(SENTIMENT)

    async def test(app: FastAPI) -> None:
        assert status_of(await post(app, ROUTE, GOOD)) == MISS
        fake.upcoming = {SENTIMENT.name: Model(SENTIMENT, "7")}  # as if it were the same
        # The next request to the network meets the swap; what was kept before is gone then.
        await post(app, ROUTE, {"inputs": "other"})
        reply = await post(app, ROUTE, GOOD)
        assert status_of(reply) == MISS
        assert status_of(await post(app, ROUTE, GOOD)) == HIT

    cached(test, fake, refresh_seconds=0)


def test_an_answer_that_meets_the_swap_is_kept_for_the_head_that_gave_it() -> None:
    fake = FakeRuntime(SENTIMENT)

    async def test(app: FastAPI) -> None:
        fake.upcoming = {SENTIMENT.name: Model(SENTIMENT, "8")}
        first, again = [await post(app, ROUTE, GOOD) for _ in range(2)]
        assert [first.headers["x-model-version"], again.headers["x-model-version"]] == ["8", "8"]
        assert status_of(again) == HIT

    cached(test, fake, refresh_seconds=0)


def test_a_stream_is_answered_from_the_cache_in_one_event_that_says_so() -> None:
    async def test(app: FastAPI) -> None:
        await post(app, ROUTE, GOOD)
        async with streaming(app, ROUTE, GOOD) as client:
            pass
        (event,) = client.events
        assert event.name == "answer"
        # It has no declared length in this test, so that it was admitted first.
        assert event.data["headers"]["cache-status"] == HIT

    cached(test)


@pytest.mark.uncounted
def test_many_different_requests_take_no_more_than_the_setting() -> None:
    async def test(app: FastAPI) -> None:
        cache = app.state.gateway.response_cache
        for number in range(1600):
            await post(app, ROUTE, {"inputs": f"film {number}"})
            assert cache.nbytes <= 2**20
        assert cache.nbytes > 0.99 * 2**20
        assert status_of(await post(app, ROUTE, {"inputs": "film 1599"})) == HIT
        assert status_of(await post(app, ROUTE, {"inputs": "film 0"})) == MISS

    cached(test)


def test_answers_of_models_that_are_never_polled_are_not_kept_in_front_of_triton() -> None:
    with pytest.raises(ValidationError, match="refresh_seconds"):
        Settings(response_cache_mib=1, runtime="triton", refresh_seconds=0)
    assert Settings(response_cache_mib=1, runtime="triton").response_cache_mib == 1
