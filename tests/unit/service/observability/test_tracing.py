from __future__ import annotations

import asyncio
import logging
import socket
import subprocess
import sys
import time

import pytest
from fastapi import FastAPI

from loadtests.support.free_ports import free_ports
from omnivec2.errors import ModelNotReadyError
from service.observability.tracing import is_wanted
from tests.support.outside_services.otlp import SERVER_KIND, Collector, Span, running_collector
from tests.support.requests.asgi import ROUTE, SENTIMENT, ask, run
from tests.support.service_parts.service_fakes import FakeRuntime

TRACE = "ab" * 16
CALLER = "cd" * 8
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


def root_of(collector: Collector) -> Span:
    """Return the only server span."""
    (root,) = (span for span in collector.spans if span.kind == SERVER_KIND)
    return root


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch):
    with running_collector() as collector:
        monkeypatch.setenv(ENDPOINT, collector.endpoint)
        yield collector


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        ({ENDPOINT: ""}, False),
        ({ENDPOINT: "http://there:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://there:4318/v1/traces"}, True),
        ({ENDPOINT: "http://there:4318", "OTEL_SDK_DISABLED": "true"}, False),
        ({ENDPOINT: "http://there:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_traces_are_wanted_where_an_endpoint_is_named(
    environment: dict[str, str], wanted: bool
) -> None:
    assert is_wanted(environment) is wanted


@pytest.mark.parametrize(("endpoint", "loaded"), [("", "False"), ("http://127.0.0.1:9", "True")])
def test_without_an_endpoint_nothing_that_records_is_imported_or_asked(
    endpoint: str, loaded: str
) -> None:
    code = (
        "import sys; from service.app import create_app; app = create_app();"
        "print(any(name.startswith(('opentelemetry.sdk', 'opentelemetry.exporter'))"
        " for name in sys.modules), app._native_telemetry.enabled(),"
        "any('Tracing' in one.cls.__name__ for one in app.user_middleware))"
    )
    environment = {"PATH": "", "PYTHONPATH": ":".join(sys.path), ENDPOINT: endpoint}
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert ended.stdout.split() == [loaded] * 3


def test_a_request_is_a_span_with_its_stages_below_it(collector: Collector) -> None:
    async def test(app: FastAPI) -> None:
        headers = {"traceparent": f"00-{TRACE}-{CALLER}-01", "X_Request_ID": "r-7"}
        assert (await ask(app, ROUTE, **headers)).status == 200

    run(test)
    # Closing the application sent them.
    root = root_of(collector)
    assert (root.trace_id, root.parent_id) == (TRACE, CALLER)
    assert root.service == "omnivec2-gateway"
    assert root.name == "POST /predict/{modality}/{task}"
    assert root.attributes["omnivec2.request_id"] == "r-7"
    assert root.attributes["omnivec2.model.version"] == "7"
    assert root.attributes["http.response.status_code"] == 200
    below = {span.name for span in collector.spans if span.parent_id == root.span_id}
    # The runtime here is a pretended one, which records no computing.
    assert below == {"queue", "decode", "preprocess", "postprocess"}
    assert all(
        root.start_ns <= span.start_ns <= span.end_ns <= root.end_ns for span in collector.spans
    )


@pytest.mark.parametrize(
    ("path", "failure", "status", "failed", "route"),
    [
        ("/predict/text/nonsense", None, 404, False, "/predict/{modality}/{task}"),
        ("/nonsense", None, 404, False, None),
        (ROUTE, ModelNotReadyError("gone"), 503, True, "/predict/{modality}/{task}"),
        (ROUTE, ZeroDivisionError("a defect"), 500, True, "/predict/{modality}/{task}"),
    ],
)
def test_only_our_own_failures_are_errors(
    collector: Collector,
    path: str,
    failure: Exception | None,
    status: int,
    failed: bool,
    route: str | None,
) -> None:
    class Failing(FakeRuntime):
        async def infer(self, model, inputs):
            raise failure or AssertionError

    async def test(app: FastAPI) -> None:
        try:
            await ask(app, path)
        except ZeroDivisionError:
            assert status == 500

    run(test, Failing(SENTIMENT))
    root = root_of(collector)
    assert root.failed is failed
    assert root.attributes["http.response.status_code"] == status
    assert root.attributes.get("http.route") == route
    assert ("error.type" in root.attributes) is failed


def test_an_unknown_method_gives_no_new_name(collector: Collector) -> None:
    async def test(app: FastAPI) -> None:
        await ask(app, ROUTE, method="BREW")

    run(test)
    assert root_of(collector).name.startswith("HTTP")
    assert root_of(collector).attributes["http.request.method"] == "_OTHER"


def test_probes_are_not_traced(collector: Collector) -> None:
    async def test(app: FastAPI) -> None:
        for path in ("/healthz", "/readyz", "/metrics"):
            assert (await ask(app, path, method="GET")).status == 200

    run(test)
    assert collector.spans == []


def test_the_caller_decides_whether_its_trace_is_recorded(collector: Collector) -> None:
    async def test(app: FastAPI) -> None:
        await ask(app, ROUTE, traceparent=f"00-{TRACE}-{CALLER}-00")

    run(test)
    assert collector.spans == []


def test_the_environment_decides_how_many_are_recorded(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "own-name")

    async def test(app: FastAPI) -> None:
        await asyncio.gather(*(ask(app, "/models", method="GET") for _ in range(100)))

    run(test)
    roots = [span for span in collector.spans if span.kind == SERVER_KIND]
    # Fair coins: outside of this once in ten thousand billion times.
    assert 15 < len(roots) < 85
    assert {span.service for span in roots} == {"own-name"}


@pytest.mark.parametrize("listens", [False, True], ids=["refuses", "never answers"])
def test_a_collector_that_is_away_is_no_burden(
    listens: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "64")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "16")
    server = socket.create_server(("127.0.0.1", 0)) if listens else None
    port = server.getsockname()[1] if server else free_ports(1)[0]
    monkeypatch.setenv(ENDPOINT, f"http://127.0.0.1:{port}")
    slowest = 0.0

    async def test(app: FastAPI) -> None:
        nonlocal slowest
        for _ in range(100):
            started = time.perf_counter()
            assert (await ask(app, ROUTE)).status == 200
            slowest = max(slowest, time.perf_counter() - started)
        await asyncio.sleep(0.2)

    with caplog.at_level(logging.INFO):
        run(test)
        ended = time.perf_counter()
    # A request that waited for the collector would take its ten seconds.
    assert slowest < 5
    reported = [r for r in caplog.records if "trace" in r.getMessage().lower()]
    # One a minute of OpenTelemetry's, and one at the end of ours.
    assert 1 <= len(reported) <= 2
    assert not [r for r in caplog.records if r.name.startswith("opentelemetry")]
    assert time.perf_counter() - ended < 5
    if server:
        server.close()
