"""One trace from the caller through the gateway into a real Triton server, as it is collected."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import httpx
import pytest

from export.layouts import Layout
from tests.support.otlp import CLIENT_KIND, SERVER_KIND, Collector, Span, running_collector
from tests.support.servers import RunningServer, running_server
from tests.support.tiny_models import tiny_heads, write_repository
from tests.support.triton import running_triton

GATEWAY = "omnivec2-gateway"
TRITON = "triton-inference-server"
ROUTE = "/predict/text/sentiment"
BODY = {"inputs": "a moving, honest film"}
HEADS = [head for head in tiny_heads() if head.modality.value == "text"]
STAGES = {"decode", "preprocess", "queue", "compute", "postprocess"}


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with running_collector() as collector:
        yield collector


@pytest.fixture(scope="module", params=list(Layout))
def behind(
    request: pytest.FixtureRequest, collector: Collector, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """A gateway before a Triton server; both send their spans to the collector."""
    root = write_repository(tmp_path_factory.mktemp("repository"), HEADS, request.param)
    url = f"{collector.endpoint}/v1/traces"
    # As docs/operations.md tells Triton to.
    options = (
        "--trace-config=mode=opentelemetry",
        "--trace-config=level=TIMESTAMPS",
        "--trace-config=rate=1",
        f"--trace-config=opentelemetry,url={url}",
        "--trace-config=opentelemetry,bsp_schedule_delay=100",
    )
    with (
        running_triton(root, "--", *options) as triton,
        running_server(
            *("--triton", triton.grpc, "--grpc-port", "0"), environment=sending(collector)
        ) as server,
    ):
        yield server


def sending(collector: Collector) -> dict[str, str]:
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "OTEL_BSP_SCHEDULE_DELAY": "100"}


def of_trace(collector: Collector, trace: str, service: str, count: int) -> list[Span]:
    """The spans of a trace that a service made, once there are so many."""

    def own(spans: list[Span]) -> list[Span]:
        return [span for span in spans if (span.trace_id, span.service) == (trace, service)]

    return own(collector.wait(lambda spans: len(own(spans)) >= count))


def parent_of(trace: str) -> str:
    return f"00-{trace}-{'5' * 16}-01"


def test_one_request_is_one_trace_through_the_gateway_and_triton(
    behind: RunningServer, collector: Collector
) -> None:
    trace = uuid.uuid4().hex
    answer = httpx.post(
        behind.url + ROUTE,
        json=BODY,
        headers={"traceparent": parent_of(trace), "X-Request-ID": "r-1"},
        timeout=30,
    )
    assert answer.status_code == 200
    (root,) = (
        span
        for span in of_trace(collector, trace, GATEWAY, 1 + len(STAGES))
        if span.kind == SERVER_KIND
    )
    assert (root.name, root.parent_id) == ("POST /predict/{modality}/{task}", "5" * 16)
    assert (
        root.attributes
        | {
            "http.request.method": "POST",
            "http.route": "/predict/{modality}/{task}",
            "http.response.status_code": 200,
            "omnivec2.modality": "text",
            "omnivec2.task": "sentiment",
            "omnivec2.model": "text_sentiment",
            "omnivec2.model.version": answer.headers["x-model-version"],
            "omnivec2.request_id": "r-1",
        }
        == root.attributes
    )
    ours = of_trace(collector, trace, GATEWAY, 1 + len(STAGES))
    assert {span.name for span in ours if span.parent_id == root.span_id} == STAGES
    assert all(root.start_ns <= span.start_ns <= span.end_ns for span in ours)
    calls = {span.span_id: span for span in ours if span.kind == CLIENT_KIND}
    assert len(calls) == 1
    theirs = of_trace(collector, trace, TRITON, 3)
    by_id = {span.span_id: span for span in theirs}
    tops = [span for span in theirs if span.parent_id not in by_id]
    assert [top.parent_id for top in tops] == list(calls)
    assert "text_sentiment" in {span.attributes.get("triton.model_name") for span in theirs}
