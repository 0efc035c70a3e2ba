from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
import torch

from export.export_run import export_checkpoint, require_ok
from export.graphs.tracing import kept_traces
from export.graphs.tracing.kept_traces import KeptTraces, with_weights, without_weights
from omnivec2.network.config import HeadConfig, NetworkConfig
from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.network.saved_network import save_network
from omnivec2.spec import TaskFamily
from tests.support.networks.cut_networks import cut_heads, one_layer
from tests.support.networks.networks import TOKENIZERS

ROUTE = "imu/activity"
GRAPH = Path("models", "imu_activity", "model.onnx")


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint, exported with its trace kept in ``traces`` beside it."""
    folder = tmp_path_factory.mktemp("first")
    with mock.patch.dict("os.environ", {"OMNIVEC2_CACHE_DIR": str(folder)}):
        return export(folder / "checkpoint", seed=0)


@pytest.fixture
def traces(first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the traces that the first export kept, which the next one uses."""
    monkeypatch.setenv("OMNIVEC2_CACHE_DIR", str(tmp_path))
    return shutil.copytree(first.parent / "traces", tmp_path / "traces")


def export(directory: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    changes = {
        "tokenizers": {"imu": TOKENIZERS["imu"]},
        "heads": {ROUTE: HeadConfig(family=TaskFamily.CLASSIFICATION, tokenizer="imu", outputs=2)},
    }
    network = OmniVec2(NetworkConfig.model_validate(one_layer() | changes)).eval()
    save_network(directory, network, network.state_dict(), cut_heads(network))
    require_ok(export_checkpoint(directory))
    return directory


def test_an_export_after_another_training_traces_nothing(
    first: Path, traces: Path, tmp_path: Path
) -> None:
    with mock.patch("torch.onnx.export", side_effect=AssertionError("traced")):
        again = export(tmp_path / "again", seed=0)
        other = export(tmp_path / "other", seed=1)
    assert (again / GRAPH).read_bytes() == (first / GRAPH).read_bytes()
    assert len(list(traces.iterdir())) == 1
    assert (other / "weights.safetensors").read_bytes() != (
        first / "weights.safetensors"
    ).read_bytes()


def test_a_trace_holds_no_weights(traces: Path) -> None:
    (path,) = traces.iterdir()
    model = onnx.load(path, load_external_data=False)
    weights = [t for t in model.graph.initializer if t.name.startswith("network.")]
    assert weights
    assert all(tensor.external_data and not tensor.raw_data for tensor in weights)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _rename_a_weight(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"heads.imu_activity", b"heads.imu_activitx"))


def _give_two_values_one_name(path: Path) -> None:
    model = onnx.load(path, load_external_data=False)
    model.graph.node[1].output[0] = model.graph.node[0].output[0]
    path.write_bytes(model.SerializeToString())


def _turn_signs(path: Path) -> None:
    """Make a trace of another computation: every sum becomes a difference."""
    model = onnx.load(path, load_external_data=False)
    for node in model.graph.node:
        node.op_type = "Sub" if node.op_type == "Add" else node.op_type
    path.write_bytes(model.SerializeToString())


@pytest.mark.parametrize(
    "damage", [_truncate, _rename_a_weight, _give_two_values_one_name, _turn_signs]
)
def test_a_trace_that_is_damaged_or_of_another_network_is_not_used(
    first: Path, traces: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    (path,) = traces.iterdir()
    damage(path)
    again = export(tmp_path / "again", seed=0)
    assert (again / GRAPH).read_bytes() == (first / GRAPH).read_bytes()


def test_a_value_inside_may_have_the_name_of_an_output() -> None:
    x = ir.Value(name="x", shape=ir.Shape((2,)), type=ir.TensorType(ir.DataType.FLOAT))
    inner = ir.node("Neg", [x])
    outer = ir.node("Exp", inner.outputs)
    for value in (*inner.outputs, *outer.outputs):
        value.name = "y"
        value.shape, value.type = x.shape, x.type
    graph = ir.Graph([x], outer.outputs, nodes=[inner, outer], opset_imports={"": 20}, name="two")
    module = torch.nn.Identity()
    model = with_weights(without_weights(ir.Model(graph, ir_version=10), module), module)
    assert model is not None
    session = ort.InferenceSession(ir.to_proto(model).SerializeToString())
    (answer,) = session.run(["y"], {"x": np.ones(2, np.float32)})
    np.testing.assert_allclose(answer, np.exp([-1, -1]), rtol=1e-6)


def test_those_that_were_not_used_for_longest_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_traces, "_LIMIT", 2)
    traces = KeptTraces(tmp_path)
    for age, key in ((10, "a"), (20, "b")):
        traces.keep(key, key.encode())
        os.utime(tmp_path / f"{key}.onnx", (time.time() - age,) * 2)
    assert traces.find("a") == b"a"
    traces.keep("c", b"c")
    assert [traces.find(key) for key in "abc"] == [b"a", None, b"c"]


def test_where_nothing_can_be_written_nothing_is_kept(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    traces = KeptTraces(tmp_path / "file" / "traces")
    traces.keep("a", b"a")
    assert traces.find("a") is None
