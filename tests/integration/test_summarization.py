"""A head that writes, from the network to its answers: every layout, every runtime."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tensorrt_rtx_bindings as trt
import torch
from huggingface_hub import InferenceClient
from pydantic import JsonValue
from tritonclient.grpc import InferenceServerClient

from export.export_run import export_checkpoint
from export.exported_checkpoint import part_directory, read_exported_checkpoint
from export.graphs.export_graph import ExportResult
from export.parity.decoder_searches import decoder_axes
from export.repository.assembly import assemble
from export.repository.build_target import make_target
from export.repository.conversion import build_repository
from export.repository.layouts import Layout, is_current, plan
from export.tensorrt.optimization_profiles import make_profile
from export.tensorrt.plan_builder import write_plan
from export.tensorrt.plan_inputs import plan_tensor
from omnivec2.checkpoint import read_checkpoint
from omnivec2.errors import DeadlineExceededError, InvalidParameterError, PassportError
from omnivec2.generation import Search, SearchOptions
from omnivec2.network.saved_network import load_network, save_network
from omnivec2.passport import GRAPH_FILE, PASSPORT_FILE, Precision, load_passport
from omnivec2.preprocess import collate, preprocessor_for
from omnivec2.spec import HeadSpec
from omnivec2.training.evaluation.graph_sessions import HeadGraph, open_sessions
from omnivec2.wordpiece import text_of
from rollout.change_heads import add_head, remove_head
from service.pipeline.data_plane import DataPlane
from service.pipeline.host_stages import JsonInput
from service.pipeline.named_files import NamedFile
from service.pipeline.predict_in_process import predict_in_process
from service.request_context import RequestContext, in_request
from service.runtimes.embedded.repository_reader import read_repository
from service.settings import Settings
from tests.support.runtimes import Kind, RunningRuntime, running_runtime
from tests.support.servers import running_server
from tests.support.writing import ROUTE, writing_network

DECODER = "decoder_text_summarization"
TEXTS = (
    "the doctor said hello to the patient who had a cough",
    "doctor : what now ? patient : well , it hurts . " * 3,
    "hello",
)
COMBINATIONS: list[tuple[Layout, Kind]] = [
    (layout, kind) for layout in Layout for kind in ("embedded", "triton")
]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    network, heads = writing_network()
    directory = tmp_path_factory.mktemp("writing") / "checkpoint"
    save_network(directory, network, network.state_dict(), heads)
    return directory


@pytest.fixture(scope="module")
def results(checkpoint: Path) -> dict[str, ExportResult]:
    exported = export_checkpoint(checkpoint, layouts=list(Layout))
    return {result.name: result for result in exported}


@pytest.fixture(scope="module")
def head(checkpoint: Path) -> HeadSpec:
    return next(head for head in read_checkpoint(checkpoint).heads if head.route == ROUTE)


@pytest.fixture(scope="module")
def repositories(
    checkpoint: Path, results: dict[str, ExportResult], tmp_path_factory: pytest.TempPathFactory
) -> dict[Layout, Path]:
    assert all(result.ok for result in results.values()), results
    made = {}
    for layout in Layout:
        made[layout] = tmp_path_factory.mktemp(f"writing-{layout}")
        assemble(checkpoint, made[layout], layout)
    return made


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


def test_the_decoder_is_compared_over_steps_lengths_batches_and_beams(
    results: dict[str, ExportResult],
) -> None:
    parity = results[DECODER].parity
    assert {entry.lengths["step"] for entry in parity} == {0, 1, 7, 17}
    assert {entry.lengths["places"] for entry in parity} == {16, 32}
    assert {entry.lengths["beams"] for entry in parity} == {1, 4}
    assert {entry.lengths["tokens"] for entry in parity} == {2, 19, 48}
    assert {entry.batch_size for entry in parity} == {1, 3}
    assert results[DECODER].graph_bytes < 60_000


def test_a_tokenizer_is_traced_for_the_longest_text_of_its_heads(
    results: dict[str, ExportResult],
) -> None:
    assert {e.lengths["tokens"] for e in results["tokenizer_text"].parity} == {2, 19, 48}


def test_both_layouts_hold_the_same_decoder_before_the_head(
    checkpoint: Path, repositories: dict[Layout, Path]
) -> None:
    source = read_exported_checkpoint(checkpoint)
    for layout, root in repositories.items():
        names = [model.name for model in plan(source, layout)]
        assert names.index(DECODER) < names.index("text_summarization")
        passports = [load_passport(root / n / "1" / PASSPORT_FILE) for n in (DECODER, names[-1])]
        assert passports[1].model == "text_summarization"
        assert passports[1].decoder == passports[0].content_digest


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

    with running_server(*options) as server:
        statuses, times = asyncio.run(load(server.url))
        again = httpx.post(f"{server.url}/predict/{ROUTE}", json={"inputs": TEXTS[2]}, timeout=30)
        assert again.status_code == 200
    assert set(statuses[:6]) <= {200, 429}
    assert set(statuses[6:]) <= {429, 504}
    assert len(times) > 3
    assert float(np.median(times)) < 0.1


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_decoder_is_built_by_nvidias_parser(
    checkpoint: Path,
    results: dict[str, ExportResult],
    head: HeadSpec,
    precision: Precision,
    tmp_path: Path,
) -> None:
    assert results[DECODER].ok
    assert head.generation is not None
    source = read_checkpoint(checkpoint)
    axes, bounds = decoder_axes(head.generation)
    inputs = [plan_tensor(tensor) for tensor in head.generation.inputs]
    profile = make_profile(inputs, axes, {**bounds, "batch": (1, 8)})
    graph = part_directory(source, DECODER) / GRAPH_FILE
    plan = write_plan(
        graph, source.weights_path, tmp_path / "model.plan", profile, precision, trt=trt
    )
    assert ("HALF" in plan.layer_precisions) == (precision == "fp16")


def test_a_repository_in_half_precision_holds_the_decoder_too(
    checkpoint: Path, results: dict[str, ExportResult], head: HeadSpec, tmp_path: Path
) -> None:
    assert results[DECODER].ok
    source = read_exported_checkpoint(checkpoint)
    build_repository(source, tmp_path, Layout.SHARED, make_target("onnx", "fp16"))
    stored = read_repository(tmp_path)
    assert not stored.refused
    assert stored.models[head.name].graphs[-1].name == DECODER
    assert load_passport(tmp_path / DECODER / "1" / PASSPORT_FILE).precision == "fp16"


def test_a_head_beside_another_decoder_is_refused(
    checkpoint: Path, repositories: dict[Layout, Path], tmp_path: Path
) -> None:
    other, heads = writing_network(seed=1)
    foreign = tmp_path / "foreign"
    save_network(foreign, other, other.state_dict(), heads)
    export_checkpoint(foreign, only=[ROUTE])
    root = tmp_path / "repository"
    shutil.copytree(repositories[Layout.FUSED], root)
    assemble(foreign_head(foreign), tmp_path / "other", Layout.FUSED)
    shutil.rmtree(root / DECODER)
    shutil.copytree(tmp_path / "other" / DECODER, root / DECODER)
    found = read_repository(root)
    assert sorted(found.models) == ["text_embedding"]
    assert "another decoder" in found.refused["text_summarization"]


def foreign_head(directory: Path) -> Path:
    """Leave a checkpoint the head that was exported."""
    shutil.rmtree(directory / "models" / "text_embedding")
    return directory


def test_a_checkpoint_whose_decoder_is_gone_is_not_up_to_date(
    checkpoint: Path, results: dict[str, ExportResult], tmp_path: Path, head: HeadSpec
) -> None:
    copy = tmp_path / "checkpoint"
    shutil.copytree(checkpoint, copy)
    source = read_exported_checkpoint(copy)
    assert all(is_current(source, head, layout) for layout in Layout)
    shutil.rmtree(part_directory(source.checkpoint, DECODER))
    source = read_exported_checkpoint(copy)
    assert not any(is_current(source, head, layout) for layout in Layout)
    with pytest.raises(PassportError, match="decoder"):
        plan(source, Layout.FUSED, [head])


@pytest.mark.parametrize("layout", list(Layout))
def test_a_head_comes_and_goes_with_its_decoder(
    checkpoint: Path, repositories: dict[Layout, Path], tmp_path: Path, layout: Layout
) -> None:
    root = tmp_path / "repository"
    shutil.copytree(repositories[layout], root)
    gone = remove_head(ROUTE, root)
    assert DECODER in gone
    assert not (root / DECODER).exists()
    assert sorted(read_repository(root).models) == ["text_embedding"]
    added = add_head(checkpoint, ROUTE, root)
    assert added.written[DECODER] == 1
    again = add_head(checkpoint, ROUTE, root)
    assert DECODER not in again.written
    assert again.version == 2
    stored = read_repository(root).models["text_summarization"]
    assert stored.spec.generation is not None
    assert stored.spec.generation.version == "1"
    assert stored.graphs[-1].name == DECODER


def test_triton_itself_has_the_decoder_for_callers_of_its_own(
    running: tuple[RunningRuntime, DataPlane, Any],
) -> None:
    runtime, _, _ = running
    if runtime.triton is None:
        assert DECODER not in runtime.runtime.models()
        return
    with InferenceServerClient(runtime.triton.grpc) as client:
        assert client.is_model_ready(DECODER)
