"""One trace from the caller through the gateway into a real Triton server, as it is collected."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator

import httpx
import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import np_to_triton_dtype

from export.repository.layouts import Layout
from loadtests.support.triton_server import running_triton
from tests.support.documents import ROOT
from tests.support.gateways.servers import RunningServer, running_server
from tests.support.model_repositories.tiny_models import tiny_heads, write_repository
from tests.support.outside_services.otlp import (
    CLIENT_KIND,
    SERVER_KIND,
    Collector,
    Span,
    running_collector,
)

OBSERVABILITY = ROOT / "docs" / "observability.md"
DOCUMENTED_URL = "http://127.0.0.1:4318/v1/traces"
GATEWAY = "omnivec2-gateway"
TRITON = "triton-inference-server"
ROUTE = "/predict/text/sentiment"
BODY = {"inputs": "a moving, honest film"}
HEADS = [head for head in tiny_heads() if head.modality.value == "text"]
CALLER = "5" * 16
REQUESTS = 20
STAGES = {"decode", "preprocess", "queue", "compute", "postprocess"}


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with running_collector() as collector:
        yield collector


@pytest.fixture(scope="module", params=list(Layout))
def behind(
    request: pytest.FixtureRequest, collector: Collector, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """A gateway in front of a Triton server; both send their spans to the collector."""
    root = write_repository(tmp_path_factory.mktemp("repository"), HEADS, request.param)
    url = f"{collector.endpoint}/v1/traces"
    documented = re.findall(r"--trace-config=[^ \"]+", OBSERVABILITY.read_text())
    assert f"--trace-config=opentelemetry,url={DOCUMENTED_URL}" in documented
    options = [option.replace(DOCUMENTED_URL, url) for option in documented]
    # So that a test need not wait for five seconds.
    options.append("--trace-config=opentelemetry,bsp_schedule_delay=100")
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
    """Return the spans of a trace that a service made, once there are ``count``."""

    def own(spans: list[Span]) -> list[Span]:
        return [span for span in spans if (span.trace_id, span.service) == (trace, service)]

    return own(collector.wait(lambda spans: len(own(spans)) >= count))


def parent_of(trace: str) -> str:
    return f"00-{trace}-{CALLER}-01"


def trace_through_triton(collector: Collector, send: Callable[[str], object]) -> str:
    """Send several requests and return the trace of one whose context Triton has used.

    Triton reads a header of gRPC beyond its end (``GrpcServerCarrier::Get``, in its newest source
    too): where the memory behind it is not zero, it begins a trace of its own.
    """

    def entered(spans: list[Span]) -> list[str]:
        return [span.trace_id for span in spans if span.name == "InferRequest"]

    traces = [uuid.uuid4().hex for _ in range(REQUESTS)]
    before = len(entered(collector.spans))
    for trace in traces:
        send(trace)
    seen = entered(collector.wait(lambda spans: len(entered(spans)) >= before + REQUESTS))
    found = [trace for trace in traces if trace in seen]
    assert len(found) >= REQUESTS * 0.7
    return found[0]


def test_one_request_is_one_trace_through_the_gateway_and_triton(
    behind: RunningServer, collector: Collector
) -> None:
    versions = set()

    def ask(trace: str) -> None:
        headers = {"traceparent": parent_of(trace), "X-Request-ID": "r-1"}
        answer = httpx.post(behind.url + ROUTE, json=BODY, headers=headers, timeout=30)
        assert answer.status_code == 200
        versions.add(answer.headers["x-model-version"])

    trace = trace_through_triton(collector, ask)
    # The stages, the call of Triton, and the request itself.
    ours = of_trace(collector, trace, GATEWAY, len(STAGES) + 2)
    (root,) = (span for span in ours if span.kind == SERVER_KIND)
    assert (root.name, root.parent_id) == ("POST /predict/{modality}/{task}", CALLER)
    said = {
        "http.request.method": "POST",
        "http.route": "/predict/{modality}/{task}",
        "http.response.status_code": 200,
        "omnivec2.modality": "text",
        "omnivec2.task": "sentiment",
        "omnivec2.model": "text_sentiment",
        "omnivec2.model.version": versions.pop(),
        "omnivec2.request_id": "r-1",
    }
    assert {name: root.attributes.get(name) for name in said} == said
    assert {span.name for span in ours if span.parent_id == root.span_id} == STAGES
    assert all(root.start_ns <= span.start_ns <= span.end_ns for span in ours)
    (call,) = (span for span in ours if span.kind == CLIENT_KIND)
    theirs = of_trace(collector, trace, TRITON, 3)
    inner = {span.span_id for span in theirs}
    assert [span.parent_id for span in theirs if span.parent_id not in inner] == [call.span_id]
    assert "text_sentiment" in {span.attributes.get("triton.model_name") for span in theirs}


def test_a_call_over_grpc_is_one_trace_too(behind: RunningServer, collector: Collector) -> None:
    (head,) = (head for head in HEADS if head.task == "sentiment")
    inputs = []
    for tensor in head.inputs:
        # Any size does for a dynamic axis.
        array = np.zeros((1, *(size if size > 0 else 8 for size in tensor.shape)), tensor.dtype)
        datatype = np_to_triton_dtype(array.dtype)
        inputs.append(InferInput(tensor.name, list(array.shape), datatype))
        inputs[-1].set_data_from_numpy(array)
    with InferenceServerClient(behind.grpc_address) as client:
        trace = trace_through_triton(
            collector,
            lambda one: client.infer(head.name, inputs, headers={"traceparent": parent_of(one)}),
        )
    # The request, two stages of the gateway, and the call of Triton.
    ours = of_trace(collector, trace, GATEWAY, 4)
    (root,) = (span for span in ours if span.kind == SERVER_KIND)
    assert root.name == "inference.GRPCInferenceService/ModelInfer"
    assert root.parent_id == CALLER
    assert {span.name for span in ours if span.parent_id == root.span_id} == {"decode", "compute"}
    (call,) = (span for span in ours if span.kind == CLIENT_KIND)
    theirs = of_trace(collector, trace, TRITON, 3)
    assert call.span_id in {span.parent_id for span in theirs}


def test_the_gateway_records_no_trace_that_its_caller_does_not_record(
    behind: RunningServer, collector: Collector
) -> None:
    unwanted, wanted = uuid.uuid4().hex, uuid.uuid4().hex
    for trace, flags in ((unwanted, "00"), (wanted, "01")):
        headers = {"traceparent": f"00-{trace}-{CALLER}-{flags}"}
        answer = httpx.post(behind.url + ROUTE, json=BODY, headers=headers, timeout=30)
        assert answer.status_code == 200
    # Small inputs are prepared in the event loop, where they wait for no thread: one span fewer.
    assert of_trace(collector, wanted, GATEWAY, len(STAGES))
    # Triton 2.51 records it all the same: it looks at its own rate only.
    assert unwanted not in {s.trace_id for s in collector.spans if s.service == GATEWAY}


def test_several_tasks_show_each_part_of_the_network_once(
    collector: Collector, tmp_path_factory: pytest.TempPathFactory
) -> None:
    heads = [head for head in HEADS if head.task in ("sentiment", "embedding")]
    root = write_repository(tmp_path_factory.mktemp("repository"), heads, Layout.SHARED)
    trace = uuid.uuid4().hex
    options = ("--model-repo", str(root), "--checkpoint", "none")
    with running_server(*options, environment=sending(collector)) as server:
        answer = httpx.post(
            f"{server.url}/predict/text?tasks=sentiment,embedding",
            json=BODY,
            headers={"traceparent": parent_of(trace)},
            timeout=30,
        )
        assert answer.status_code == 200
    # Stopping the server sent what was left.
    spans = [span for span in collector.spans if span.trace_id == trace]
    computed = sorted(s.attributes["omnivec2.model"] for s in spans if s.name == "compute")
    assert computed == ["head_text_embedding", "head_text_sentiment", "tokenizer_text", "trunk"]
