from __future__ import annotations

import asyncio
import datetime
import re
import time

import httpx
import pytest
from fastapi import FastAPI

from loadtests.support.free_ports import free_ports
from omnivec2.canary.canary_state import Canary
from omnivec2.errors import OverloadedError
from service.observability.gateway_metrics import Metrics
from service.pipeline.answers import Timings
from service.runtimes.base import Model
from tests.support.model_repositories.tiny_models import classification
from tests.support.requests.asgi import ROUTE, SENTIMENT, ask, run
from tests.support.service_parts.service_fakes import FakeRuntime


def samples(text: str) -> dict[str, float]:
    """Return the value of every series in Prometheus' text format."""
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {series: float(value) for series, _, value in lines}


async def scrape(app: FastAPI) -> dict[str, float]:
    return samples((await ask(app, "/metrics", method="GET")).body.decode())


def test_bytes_are_those_that_were_read_and_sent() -> None:
    async def test(app: FastAPI) -> None:
        reply = await ask(app, ROUTE, b"well said")
        seen = await scrape(app)
        labels = '{modality="text",task="sentiment"}'
        assert seen[f"omnivec2_request_bytes_sum{labels}"] == len(b"well said")
        assert seen[f"omnivec2_response_bytes_sum{labels}"] == len(reply.body)

    run(test)


def test_several_tasks_share_the_stages_and_bytes_of_their_request() -> None:
    heads = [SENTIMENT, classification("text/paraphrase", "no", "yes")]

    async def test(app: FastAPI) -> None:
        reply = await ask(app, "/predict/text", query="tasks=sentiment,paraphrase")
        assert reply.status == 200
        seen = await scrape(app)
        for task in ("sentiment", "paraphrase"):
            labels = f'modality="text",status="200",task="{task}"'
            assert seen[f"omnivec2_requests_total{{{labels}}}"] == 1
            assert f'omnivec2_request_bytes_count{{modality="text",task="{task}"}} ' not in seen
        labels = 'modality="text",task="several"'
        assert seen[f"omnivec2_request_bytes_count{{{labels}}}"] == 1
        labels = 'modality="text",stage="decode",task="several"'
        assert seen[f"omnivec2_stage_seconds_count{{{labels}}}"] == 1

    run(test, FakeRuntime(*heads))


@pytest.mark.parametrize(
    ("failure", "reason"),
    [(OverloadedError("full", reason="triton"), "triton"), (OverloadedError("?"), "overloaded")],
)
def test_rejections_of_the_runtime_are_counted_by_reason(
    failure: OverloadedError, reason: str
) -> None:
    class Full(FakeRuntime):
        async def infer(self, model, inputs):
            raise failure

    async def test(app: FastAPI) -> None:
        assert (await ask(app, ROUTE)).status == 429
        seen = await scrape(app)
        assert seen[f'omnivec2_rejections_total{{reason="{reason}"}}'] == 1
        # Known before it ever happened.
        assert seen['omnivec2_rejections_total{reason="queue"}'] == 0

    run(test, Full(SENTIMENT))


def test_models_are_those_that_are_served_now() -> None:
    runtime = FakeRuntime(SENTIMENT)
    served = re.compile(r'omnivec2_model_info{.*model="(\w+)".*version="(\d+)"}')

    async def models(app: FastAPI) -> set[tuple[str, ...]]:
        return {found.groups() for s in await scrape(app) if (found := served.match(s))}

    async def test(app: FastAPI) -> None:
        assert await models(app) == {("text_sentiment", "7")}
        spec = classification("text/paraphrase", "no", "yes")
        runtime.upcoming = {spec.name: Model(spec, "9")}
        await asyncio.sleep(0.2)
        assert await models(app) == {("text_paraphrase", "9")}
        assert (await scrape(app))["omnivec2_models_refresh_age_seconds"] < 0.1

    run(test, runtime, refresh_seconds=0.02)


def test_readiness_and_the_lag_of_the_event_loop_are_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("service.gateway._MEASURE_SECONDS", 0.02)

    async def test(app: FastAPI) -> None:
        await asyncio.sleep(0.1)
        before = await scrape(app)
        assert before["omnivec2_ready"] == 1
        time.sleep(0.3)
        await asyncio.sleep(0.1)
        after = await scrape(app)
        over = 'omnivec2_event_loop_lag_seconds_bucket{le="0.25"}'
        count = "omnivec2_event_loop_lag_seconds_count"
        assert after[count] - after[over] == before[count] - before[over] + 1

    run(test)


def test_names_that_callers_make_up_become_no_labels() -> None:
    async def test(app: FastAPI) -> None:
        before = len(await scrape(app))
        for number in range(50):
            await ask(app, f"/predict/made{number}/up{number}")
            await ask(app, f"/predict/text/up{number}")
            await ask(app, f"/predict/text?tasks=up{number}")
            await ask(app, f"/v2/models/made{number}/infer")
        # One route, unknown; of each histogram one set of buckets.
        assert len(await scrape(app)) - before < 150

    run(test)


def test_a_port_of_their_own_takes_the_metrics_from_the_main_one() -> None:
    async def test(app: FastAPI) -> None:
        assert (await ask(app, "/metrics", method="GET")).status == 404
        assert "/metrics" not in (await ask(app, "/openapi.json", method="GET")).json["paths"]
        address = app.state.gateway.metrics_address
        async with httpx.AsyncClient() as client:
            answer = await client.get(address)
        assert samples(answer.text)["omnivec2_pending_requests"] == 0

    address = ""

    async def remember(app: FastAPI) -> None:
        nonlocal address
        address = app.state.gateway.metrics_address
        await test(app)

    run(remember, metrics_port=0, metrics_host="127.0.0.1")
    with pytest.raises(httpx.ConnectError):
        httpx.get(address)


def test_a_metrics_port_that_is_taken_is_reported() -> None:
    async def inner(app: FastAPI) -> None:
        assert "cannot listen on 127.0.0.1" in app.state.gateway.failure

    (port,) = free_ports(1)

    async def outer(_: FastAPI) -> None:
        await asyncio.to_thread(run, inner, metrics_port=port)

    run(outer, metrics_port=port)


def observe_canary(app: FastAPI) -> None:
    """One of everything that is counted of a canary."""
    head = ("text/sentiment", "2")
    canaries = app.state.gateway.metrics.canaries
    canaries.count_answer(*head, "live", "answered")
    canaries.observe_seconds(*head, 0.1)
    canaries.observe_comparison(*head, 0.1, False)
    canaries.count_dropped(*head, "load")
    canaries.count_rollback(*head, "errors")
    now = datetime.datetime.now(datetime.UTC)
    canary = Canary(route="text/sentiment", version=2, started=now)
    app.state.gateway.canaries.known = {canary.route: canary}


def test_every_metric_is_described_under_the_name_it_is_scraped_by() -> None:
    async def test(app: FastAPI) -> None:
        await ask(app, ROUTE)
        app.state.gateway.metrics.observe_note("text", "sentiment", "cut")
        app.state.gateway.metrics.observe_batch("text_sentiment", 1, 0.1)
        app.state.gateway.metrics.keys.observe("alice", {"requests": 1})
        app.state.gateway.metrics.observe_cache_lookup("text", "sentiment", "hit")
        observe_canary(app)
        text = (await ask(app, "/metrics", method="GET")).body.decode()
        kinds = dict(re.findall(r"^# TYPE (omnivec2_\w+) (\w+)$", text, re.MULTILINE))
        described = {one.name: one.kind for one in app.state.gateway.metrics.described}
        assert kinds == described
        for one in app.state.gateway.metrics.described:
            named = re.search(rf"^{one.name}(?:_count)?{{(.*)}} ", text, re.MULTILINE)
            found = re.findall(r'(\w+)="', named[1]) if named else []
            assert set(found) == set(one.labels), one.name

    run(test)


def test_the_tokens_of_batches_are_counted_by_model_and_kind() -> None:
    metrics = Metrics()
    metrics.observe_tokens("trunk", 37, 3)
    metrics.observe_tokens("trunk", 30, 10)
    text = metrics.exposition().decode()
    assert 'omnivec2_batch_tokens_total{kind="real",model="trunk"} 67.0' in text
    assert 'omnivec2_batch_tokens_total{kind="padding",model="trunk"} 13.0' in text


def test_a_request_costs_little() -> None:
    metrics = Metrics()

    def request() -> None:
        metrics.observe_request("text", "sentiment", 200, 0.01)
        metrics.observe_stages("text", "sentiment", Timings(0.001, 0.001, 0.001, 0.01, 0.001))
        metrics.observe_bytes("text", "sentiment", 100, 100)

    request()
    best = min(_seconds(request, 200) for _ in range(20))
    # Some 20 microseconds, beside requests of milliseconds.
    assert best / 200 < 2e-4


def _seconds(call, times: int) -> float:
    started = time.thread_time()  # what else the machine does is not in it
    for _ in range(times):
        call()
    return time.thread_time() - started
