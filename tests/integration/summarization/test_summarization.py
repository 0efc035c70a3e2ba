"""A head that writes, from the network to its answers: every layout, every runtime."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from huggingface_hub import InferenceClient
from pydantic import JsonValue
from tritonclient.grpc import InferenceServerClient

from export.repository.layouts import Layout
from omnivec2.errors import DeadlineExceededError, InvalidParameterError
from omnivec2.generation import Search, SearchOptions
from omnivec2.network.saved_network import load_network
from omnivec2.preprocess import collate, preprocessor_for
from omnivec2.spec import HeadSpec
from omnivec2.training.evaluation.graph_sessions import HeadGraph, open_sessions
from omnivec2.wordpiece import text_of
from service.pipeline.data_plane import DataPlane
from service.pipeline.host_stages import JsonInput
from service.pipeline.in_process.named_files import NamedFile
from service.pipeline.in_process.predict_in_process import predict_in_process
from service.request_context import RequestContext, in_request
from service.settings import Settings
from tests.support.checkpoints.exported_writer import DECODER, ExportedWriter
from tests.support.gateways.servers import running_server
from tests.support.networks.writing import ROUTE
from tests.support.service_parts.runtimes import Kind, RunningRuntime, running_runtime

pytestmark = pytest.mark.long

TEXTS = (
    "the doctor said hello to the patient who had a cough",
    "doctor : what now ? patient : well , it hurts . " * 3,
    "hello",
)
COMBINATIONS: list[tuple[Layout, Kind]] = [
    (layout, kind) for layout in Layout for kind in ("embedded", "triton")
]


@pytest.fixture(scope="module")
def checkpoint(writer: ExportedWriter) -> Path:
    return writer.checkpoint


@pytest.fixture(scope="module")
def head(writer: ExportedWriter) -> HeadSpec:
    return writer.head


@pytest.fixture(scope="module")
def repositories(writer: ExportedWriter) -> dict[Layout, Path]:
    return writer.repositories


@pytest.fixture(scope="module", params=COMBINATIONS, ids="-".join)
def running(
    request: pytest.FixtureRequest, repositories: dict[Layout, Path]
) -> Iterator[tuple[RunningRuntime, DataPlane, list[tuple[str, int]]]]:
    layout, kind = request.param
    batches: list[tuple[str, int]] = []

    def on_batch(name: str, rows: int, _: float) -> None:
        batches.append((name, rows))

    with running_runtime(kind, repositories[layout], on_batch) as runtime:
        plane = DataPlane(runtime.runtime, 2)
        yield runtime, plane, batches
        plane.close()


def eager(checkpoint: Path, head: HeadSpec, text: str, options: SearchOptions) -> list[int]:
    """The ids that PyTorch generates, a step at a time."""
    network = load_network(checkpoint)
    assert head.generation is not None
    sample = preprocessor_for(head.preprocess).prepare(text).samples[0]
    inputs = {name: torch.from_numpy(array)[None] for name, array in sample.items()}
    search = Search(head.generation, options, sample["input_ids"])
    decoder = network.heads["text_summarization"].get_submodule("output").decoder
    with torch.inference_mode():
        memory = network(ROUTE, inputs)["memory"]
        mask = torch.zeros(memory.shape[:2])
        mask[:, : len(sample["input_ids"])] = inputs["attention_mask"]
        while not search.done:
            step = {n: torch.from_numpy(np.array(a))[None] for n, a in search.inputs().items()}
            outputs = decoder.step(step["previous_ids"], step["step"], step["past"], memory, mask)
            search.advance({name: value[0].numpy() for name, value in outputs.items()})
    return [int(id_) for id_ in search.ids]


async def ask(plane: DataPlane, texts: tuple[str, ...], parameters: Mapping[str, JsonValue]) -> Any:
    inputs = [JsonInput(text) for text in texts]
    answer = await plane.predict(
        plane.head("text", "summarization"), inputs, parameters, batched=True
    )
    return json.loads(answer.body)


@pytest.mark.parametrize("beams", [1, 3])
def test_every_runtime_and_layout_writes_what_pytorch_writes(
    checkpoint: Path,
    head: HeadSpec,
    running: tuple[RunningRuntime, DataPlane, Any],
    beams: int,
) -> None:
    runtime, plane, _ = running
    options = SearchOptions(24, beams, 1.0, 3)
    given: dict[str, JsonValue] = {"max_new_tokens": 24, "num_beams": beams}
    wanted = [text_of(eager(checkpoint, head, text, options)) for text in TEXTS]
    found = runtime.run(ask(plane, TEXTS, {"generate_parameters": given}))
    assert [answer["summary_text"] for answer in found] == wanted
    assert len(set(wanted)) == len(TEXTS)


def test_a_decoder_is_no_route_of_its_own(running: tuple[RunningRuntime, DataPlane, Any]) -> None:
    runtime, plane, _ = running
    assert sorted(plane.heads) == ["text/embedding", ROUTE]
    health = runtime.run(runtime.runtime.health())
    assert health.ready
    assert not health.refused


def test_steps_of_different_requests_meet_in_a_batch(
    running: tuple[RunningRuntime, DataPlane, list[tuple[str, int]]],
) -> None:
    runtime, plane, batches = running
    batches.clear()

    async def several() -> list[Any]:
        return await asyncio.gather(*(ask(plane, TEXTS[:1], {}) for _ in range(6)))

    answers = runtime.run(several())
    assert all(answer == answers[0] for answer in answers)
    if runtime.triton is None:
        assert max(rows for name, rows in batches if name == DECODER) > 1


def test_several_tasks_on_one_text_work_with_one_that_writes(
    running: tuple[RunningRuntime, DataPlane, Any],
) -> None:
    runtime, plane, _ = running
    heads = [plane.head("text", task) for task in ("embedding", "summarization")]
    answer = runtime.run(plane.predict_tasks(heads, [JsonInput(TEXTS[0])], {}, batched=False))
    body = json.loads(answer.body)
    assert sorted(body) == ["embedding", "summarization"]
    assert body["summarization"][0]["summary_text"]


def test_a_search_ends_at_its_deadline_and_when_its_request_is_cancelled(
    running: tuple[RunningRuntime, DataPlane, list[tuple[str, int]]],
) -> None:
    runtime, plane, batches = running

    async def late() -> None:
        with in_request(RequestContext("late", deadline=time.monotonic() + 0.02)):
            await asyncio.sleep(0.03)
            await ask(plane, TEXTS[:1], {})

    with pytest.raises(DeadlineExceededError):
        runtime.run(late())

    def steps() -> int:
        if runtime.triton is None:
            return sum(name == DECODER for name, _ in batches)
        with InferenceServerClient(runtime.triton.grpc) as client:
            stats = client.get_inference_statistics(DECODER, as_json=True)["model_stats"][0]
        return int(stats["inference_count"])

    async def left() -> tuple[int, int, int]:
        before = steps()
        asking = asyncio.create_task(ask(plane, TEXTS[1:2], {"num_beams": 8}))
        while steps() == before:
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait([asking])
        await asyncio.sleep(0.2)
        seen = steps()
        await asyncio.sleep(0.2)
        return before, seen, steps()

    before, seen, after = runtime.run(left())
    assert before < seen == after < before + 40


def test_more_than_the_head_can_is_refused_by_name(
    running: tuple[RunningRuntime, DataPlane, Any],
) -> None:
    runtime, plane, _ = running
    for given, field in (
        ({"max_new_tokens": 41}, "parameters.max_new_tokens"),
        ({"generate_parameters": {"num_beams": 9}}, "parameters.generate_parameters.num_beams"),
    ):
        with pytest.raises(InvalidParameterError, match="at most") as caught:
            runtime.run(ask(plane, TEXTS[:1], given))
        assert caught.value.field == field


def test_evaluation_writes_what_the_service_writes(
    checkpoint: Path, head: HeadSpec, repositories: dict[Layout, Path]
) -> None:
    preprocessor = preprocessor_for(head.preprocess)
    samples = [preprocessor.prepare(text).samples[0] for text in TEXTS]
    ids = HeadGraph(head, open_sessions(head, repositories[Layout.FUSED]))(samples)["ids"]
    assert head.generation is not None
    options = SearchOptions.of(head.generation)
    for row, text in zip(ids, TEXTS, strict=True):
        assert text_of(row) == text_of(eager(checkpoint, head, text, options))
    assert collate(samples)["input_ids"].shape[0] == len(ids)


def test_one_text_is_answered_without_a_server(repositories: dict[Layout, Path]) -> None:
    for root in repositories.values():
        settings = Settings(model_repo=root, engine="onnxruntime", engine_precision="fp32")
        files = [NamedFile("a.txt", TEXTS[0].encode())]
        found = predict_in_process(settings, ROUTE, files, {}).value
        assert isinstance(found, list)
        assert found[0]["summary_text"]  # type: ignore[call-overload]


def test_hugging_faces_client_gets_its_summary(repositories: dict[Layout, Path]) -> None:
    options = ("--model-repo", str(repositories[Layout.SHARED]), "--checkpoint", "none")
    with running_server(*options) as server:
        client = InferenceClient(model=f"{server.url}/predict/{ROUTE}")
        plain = client.summarization(TEXTS[0])
        assert plain.summary_text
        short = client.summarization(
            TEXTS[0],
            generate_parameters={"max_new_tokens": 3, "num_beams": 2},
            truncation="longest_first",
            clean_up_tokenization_spaces=True,
        )
        assert 0 < len(short.summary_text) < len(plain.summary_text)


def test_health_is_answered_during_many_searches_and_late_requests_get_504(
    repositories: dict[Layout, Path],
) -> None:
    options = ("--model-repo", str(repositories[Layout.SHARED]), "--checkpoint", "none")
    # The second six wait for less time than the search takes, let alone behind the others.
    limits: list[dict[str, str]] = [{}] * 6 + [{"X-Request-Timeout": "0.02"}] * 6
    body = {"inputs": [TEXTS[1]] * 8, "parameters": {"num_beams": 8, "no_repeat_ngram_size": 0}}

    async def load(url: str) -> tuple[list[int], list[float]]:
        async with httpx.AsyncClient(base_url=url, timeout=30) as client:
            asking = [
                asyncio.create_task(client.post(f"/predict/{ROUTE}", json=body, headers=headers))
                for headers in limits
            ]
            times = []
            while not all(task.done() for task in asking):
                began = time.perf_counter()
                (await client.get("/healthz")).raise_for_status()
                times.append(time.perf_counter() - began)
                await asyncio.sleep(0.02)
            return [task.result().status_code for task in asking], times

    with running_server(*options, settings={"max_queue_seconds": 2.5}) as server:
        statuses, times = asyncio.run(load(server.url))
        again = httpx.post(f"{server.url}/predict/{ROUTE}", json={"inputs": TEXTS[2]}, timeout=30)
        assert again.status_code == 200
    assert set(statuses[:6]) <= {200, 429}
    assert set(statuses[6:]) <= {429, 504}
    assert len(times) > 3
    assert float(np.median(times)) < 0.1


def test_triton_itself_has_the_decoder_for_callers_of_its_own(
    running: tuple[RunningRuntime, DataPlane, Any],
) -> None:
    runtime, _, _ = running
    if runtime.triton is None:
        assert DECODER not in runtime.runtime.models()
        return
    with InferenceServerClient(runtime.triton.grpc) as client:
        assert client.is_model_ready(DECODER)
