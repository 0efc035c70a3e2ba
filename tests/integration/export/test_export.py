"""From the real network through export and assembly to a model that a runtime loads."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
from rich.console import Console

from export.export_run import export_checkpoint, require_ok
from export.graphs.export_graph import ExportResult
from export.parity.random_samples import length_cases, random_inputs
from export.repository.assembly import assemble
from export.repository.layouts import Layout
from omnivec2.checkpoint import read_checkpoint
from omnivec2.errors import ExportError, UnknownModelError
from omnivec2.network.config import HeadConfig, NetworkConfig
from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.network.saved_network import load_network, save_network
from omnivec2.network.tokenizers.graph import GraphTokenizerConfig
from omnivec2.network.tokenizers.series import ImuTokenizerConfig
from omnivec2.network.tokenizers.text import TextTokenizerConfig
from omnivec2.passport import verify_passport
from omnivec2.spec import HeadSpec, Limits, Modality, PreprocessSpec, TaskFamily, TensorSpec
from tests.support.networks.cut_networks import one_layer

pytestmark = pytest.mark.long


def tensor(name: str, dtype: str, *shape: int) -> TensorSpec:
    return TensorSpec.model_validate({"name": name, "dtype": dtype, "shape": shape})


IMU = (tensor("signal", "float32", 64, 9),)
TEXT = tuple(tensor(n, "int32", -1) for n in ("input_ids", "token_type_ids", "attention_mask"))
GRAPH = (
    tensor("nodes", "int32", -1, 9),
    tensor("node_ids", "float32", -1, 16),
    tensor("node_mask", "uint8", -1),
    tensor("edges", "int32", -1, 2),
    tensor("edge_features", "int32", -1, 3),
    tensor("edge_mask", "uint8", -1),
)


def make_head(
    route: str, family: TaskFamily, inputs: tuple[TensorSpec, ...], output: TensorSpec
) -> HeadSpec:
    modality, _, task = route.partition("/")
    parameters = {"max_tokens": 48} if modality == "text" else {}
    return HeadSpec(
        modality=Modality(modality),
        task=task,
        family=family,
        inputs=inputs,
        outputs=(output,),
        preprocess=PreprocessSpec(name=Modality(modality), version=1, parameters=parameters),
        limits=Limits(nodes=64, edges=128),
        network="tiny",
    )


HEADS = (
    make_head("imu/activity", TaskFamily.CLASSIFICATION, IMU, tensor("logits", "float32", 6)),
    make_head("graph/solubility", TaskFamily.REGRESSION, GRAPH, tensor("values", "float32", 1)),
    make_head("text/embedding", TaskFamily.EMBEDDING, TEXT, tensor("embedding", "float32", 32)),
    # The network calls this output "embedding": its export must fail, and only its.
    make_head("imu/embedding", TaskFamily.EMBEDDING, IMU, tensor("vector", "float32", 32)),
)
GOOD = [head.route for head in HEADS[:3]]


def make_config() -> NetworkConfig:
    tokenizers = {
        "imu": ImuTokenizerConfig(),
        "text": TextTokenizerConfig(),
        "graph": GraphTokenizerConfig(
            node_cardinalities=(119, 5, 12, 12, 10, 6, 6, 2, 2), edge_cardinalities=(5, 6, 2)
        ),
    }
    outputs = {"imu/activity": 6, "graph/solubility": 1}
    heads = {
        head.route: HeadConfig(
            family=head.family,
            tokenizer=head.modality.value,
            outputs=outputs.get(head.route, 0),
        )
        for head in HEADS
    }
    return NetworkConfig.model_validate(one_layer() | {"tokenizers": tokenizers, "heads": heads})


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    network = OmniVec2(make_config())
    target = tmp_path_factory.mktemp("export") / "checkpoint"
    save_network(target, network, network.state_dict(), HEADS)
    return target


@pytest.fixture(scope="module")
def printed() -> io.StringIO:
    return io.StringIO()


@pytest.fixture(scope="module")
def results(directory: Path, printed: io.StringIO) -> list[ExportResult]:
    return export_checkpoint(directory, console=Console(file=printed, width=60))


@pytest.fixture(scope="module")
def models(
    directory: Path, results: list[ExportResult], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """The repository of the heads that can be exported."""
    (directory / "models" / "imu_embedding" / "head.json").unlink()
    out = tmp_path_factory.mktemp("repository")
    return {path.name: path for path in assemble(directory, out, Layout.FUSED)}


def test_every_head_is_exported_within_tolerance_but_the_broken_one(
    results: list[ExportResult],
) -> None:
    outcomes = {result.name: result for result in results}
    assert [route for route, result in outcomes.items() if result.ok] == sorted(GOOD)
    for route in GOOD:
        assert max(entry.max_relative_error for entry in outcomes[route].parity) <= 1e-4
        assert outcomes[route].graph_bytes < 60_000
    broken = outcomes["imu/embedding"]
    assert (broken.step, broken.parity) == ("graph", ())
    assert "['vector']" in broken.message


def test_dynamic_lengths_are_compared_from_shortest_to_longest(
    results: list[ExportResult],
) -> None:
    parity = {result.name: result.parity for result in results}
    assert {e.lengths["tokens"] for e in parity["text/embedding"]} == {2, 19, 48}
    assert {(e.lengths["nodes"], e.lengths["edges"]) for e in parity["graph/solubility"]} == {
        (1, 1),
        (12, 13),
        (38, 41),
    }
    assert len(parity["graph/solubility"]) == 9


def test_the_table_names_every_model_in_full_and_why_one_failed(
    results: list[ExportResult], printed: io.StringIO
) -> None:
    text = printed.getvalue()
    assert all(result.name in text for result in results)
    assert "FAIL imu/embedding: graph:" in text


def test_a_caller_who_wants_all_or_nothing_gets_an_error_that_names_the_failures(
    results: list[ExportResult],
) -> None:
    with pytest.raises(ExportError, match="imu/embedding"):
        require_ok(results)
    require_ok([result for result in results if result.ok])


def test_a_failed_head_leaves_no_graph_and_no_workshop_behind(
    directory: Path, results: list[ExportResult]
) -> None:
    assert not list((directory / "models" / "imu_embedding").glob("model.onnx"))
    assert sorted(path.name for path in directory.iterdir()) == [
        "config.json",
        "models",
        "weights.safetensors",
    ]


@pytest.mark.parametrize("route", GOOD)
def test_a_runtime_answers_from_the_repository_as_the_network_does(
    route: str, models: dict[str, Path], directory: Path
) -> None:
    head = next(head for head in read_checkpoint(directory).heads if head.route == route)
    version = models[head.name] / "1"
    passport = verify_passport(version)
    assert passport.model == head.name
    assert passport.checkpoint_digest == head.checkpoint_digest
    session = ort.InferenceSession(version / "model.onnx", providers=["CPUExecutionProvider"])
    network = load_network(directory)
    batch = random_inputs(head, 5, length_cases(head)[-1], np.random.default_rng(7))
    (answer,) = session.run([head.outputs[0].name], batch)
    with torch.inference_mode():
        feeds = {name: torch.from_numpy(array) for name, array in batch.items()}
        expected = network(route, feeds)[head.outputs[0].name].numpy()
    assert np.abs(answer - expected).max() <= 1e-4 * np.abs(expected).max()


def test_only_the_heads_asked_for_are_exported(
    directory: Path, models: dict[str, Path], printed: io.StringIO
) -> None:
    graph = directory / "models" / "graph_solubility" / "model.onnx"
    before = graph.stat().st_mtime_ns
    (result,) = export_checkpoint(
        directory, only=["imu/activity"], console=Console(file=printed, width=60)
    )
    assert result.ok
    assert graph.stat().st_mtime_ns == before


def test_a_head_the_checkpoint_lacks_is_refused_with_those_it_has(directory: Path) -> None:
    with pytest.raises(UnknownModelError, match=r"audio/events; .* has .*imu/activity"):
        export_checkpoint(directory, only=["audio/events"])
