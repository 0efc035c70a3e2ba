from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from torch import Tensor, nn

from export.graphs.export_graph import load_folded
from export.graphs.onnx_export import GraphFile, export_graph
from export.graphs.traceable import traceable_head
from export.graphs.weight_ranges import StoredWeights
from export.parity.parity_gate import cases_of, check_parity
from export.parity.random_samples import random_inputs
from omnivec2.checkpoint import Checkpoint
from omnivec2.errors import ExportError
from omnivec2.spec import HeadSpec

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def head(checkpoint: Checkpoint) -> HeadSpec:
    return checkpoint.heads[0]


@pytest.fixture(scope="module")
def graph(network: nn.Module, head: HeadSpec, weights: StoredWeights, workshop: Path) -> GraphFile:
    return export_graph(traceable_head(network, head), weights, workshop / "model.onnx")


@pytest.fixture(scope="module")
def model(graph: GraphFile) -> onnx.ModelProto:
    return onnx.load(graph.path, load_external_data=False)


def entries(tensor: onnx.TensorProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in tensor.external_data}


def test_nodes_have_no_names(model: onnx.ModelProto) -> None:
    assert not any(node.name for node in model.graph.node)


def test_tensors_carry_the_names_and_dynamic_axes_of_the_head_spec(model: onnx.ModelProto) -> None:
    def axes(value: onnx.ValueInfoProto) -> list[str | int]:
        return [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]

    assert {value.name: axes(value) for value in model.graph.input} == {
        "input_ids": ["batch", "tokens"],
        "token_type_ids": ["batch", "tokens"],
        "attention_mask": ["batch", "tokens"],
    }
    assert {value.name: axes(value) for value in model.graph.output} == {
        "lengths": ["batch", 1],
        "logits": ["batch", 3],
    }


def test_the_graph_is_small_and_valid(graph: GraphFile, model: onnx.ModelProto) -> None:
    assert graph.bytes == graph.path.stat().st_size < 20_000
    assert model.opset_import[0].version == 20
    assert not model.graph.value_info  # types that follow from the rest
    onnx.checker.check_model(str(graph.path))


def test_every_weight_is_a_byte_range_of_the_shared_file(
    model: onnx.ModelProto, weights: StoredWeights
) -> None:
    outside = {t.name: entries(t) for t in model.graph.initializer if t.external_data}
    assert {e["location"] for e in outside.values()} == {"weights.safetensors"}
    assert {"words.weight", "words.weight.scale", "query.weight", "unit"} <= set(outside)
    data = weights.path.read_bytes()
    for name, entry in outside.items():
        start, length = int(entry["offset"]), int(entry["length"])
        assert data[start : start + length] == weights.stored[name].tobytes()


def test_storage_counts_the_weights_by_the_type_they_are_stored_in(graph: GraphFile) -> None:
    assert graph.storage["int8"] == 31_000 * 64 + 256 * 64 + 256 * 64
    assert graph.storage["float32"] >= 1
    assert graph.storage["float16"] >= 64 * 64


def test_nothing_of_the_exporter_s_source_is_left_in_the_graph(graph: GraphFile) -> None:
    content = graph.path.read_bytes()
    for trace in (b".py", b"pkg.torch", b"StandIn", b"forward"):
        assert trace not in content


def test_the_runtime_folds_every_stored_weight_into_a_constant(graph: GraphFile) -> None:
    session = load_folded(graph)
    assert session.get_inputs()[0].name == "input_ids"
    assert not graph.path.with_name("optimised.onnx").exists()


def test_the_graph_answers_like_the_network_at_every_batch_size_and_length(
    graph: GraphFile, network: nn.Module, head: HeadSpec
) -> None:
    session = ort.InferenceSession(graph.path, providers=["CPUExecutionProvider"])
    entries = check_parity(traceable_head(network, head), session.run, cases_of(head))
    assert {entry.batch_size for entry in entries} == {1, 3, 8}
    assert {entry.lengths["tokens"] for entry in entries} == {2, 19, 64}
    assert max(entry.max_relative_error for entry in entries) < 1e-5


def test_padding_behind_the_mask_changes_no_answer(graph: GraphFile, head: HeadSpec) -> None:
    session = ort.InferenceSession(graph.path, providers=["CPUExecutionProvider"])
    batch = random_inputs(head, 1, {"tokens": 7}, np.random.default_rng(1))
    padded = {name: np.pad(array, ((0, 0), (0, 9))) for name, array in batch.items()}
    short, long = (session.run(["logits"], feeds)[0] for feeds in (batch, padded))
    np.testing.assert_allclose(short, long, atol=1e-5)


def test_a_network_that_fixes_the_batch_is_refused(
    head: HeadSpec, weights: StoredWeights, tmp_path: Path
) -> None:
    class Fixed(nn.Module):
        def forward(self, route: str, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
            x = inputs["input_ids"].float().sum(1, keepdim=True)
            return {"logits": x.reshape(3, 1).expand(3, 3), "lengths": x}

    with pytest.raises(ExportError, match="text/sentiment"):
        export_graph(traceable_head(Fixed().eval(), head), weights, tmp_path / "model.onnx")


def test_outputs_other_than_the_head_spec_s_are_refused(
    head: HeadSpec, weights: StoredWeights, tmp_path: Path
) -> None:
    class Other(nn.Module):
        def forward(self, route: str, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
            return {"boxes": inputs["input_ids"].float()}

    with pytest.raises(ExportError, match=r"names outputs .*logits.* the network gives .*boxes"):
        export_graph(traceable_head(Other().eval(), head), weights, tmp_path / "model.onnx")


@pytest.mark.parametrize("opset", [17, 24])
def test_an_opset_beyond_what_tensorrt_reads_is_refused(
    head: HeadSpec, weights: StoredWeights, tmp_path: Path, opset: int
) -> None:
    with pytest.raises(ExportError, match="expected 18 to 23"):
        export_graph(
            traceable_head(nn.Identity(), head), weights, tmp_path / "model.onnx", opset=opset
        )


def test_tracing_leaves_the_network_s_weights_untouched(
    graph: GraphFile, network: nn.Module, weights: StoredWeights
) -> None:
    for name, value in network.state_dict().items():
        assert torch.equal(value, torch.from_numpy(weights.values[name]))
