"""Graphs that name files outside of their directory as their weights are not loaded."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from omnivec2.errors import ArtifactError
from service.runtimes.embedded.engines.base import LoadOptions
from service.runtimes.embedded.engines.find_engine import find_engine
from service.runtimes.embedded.repository_reader import StoredGraph

SECRET = np.arange(4, dtype=np.float32)


def write_graph(directory: Path, location: str) -> StoredGraph:
    """Write a graph that adds the weights at ``location`` to its input."""
    weights = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4])
    weights.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", str(SECRET.nbytes))):
        weights.external_data.add(key=key, value=value)
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        "adds",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    directory.mkdir()
    (directory / "model.onnx").write_bytes(model.SerializeToString())
    return StoredGraph("adds", "1", directory, ("x",), ("y",), 8)


@pytest.fixture(params=["onnxruntime", "openvino"])
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    return name


@pytest.mark.parametrize("place", ["above", "absolute", "link"])
def test_weights_outside_of_the_directory_are_not_read(
    tmp_path: Path, engine: str, place: str
) -> None:
    secret = tmp_path / "secret.bin"
    secret.write_bytes(SECRET.tobytes())
    location = {"above": "../secret.bin", "absolute": str(secret), "link": "link.bin"}[place]
    stored = write_graph(tmp_path / "model", location)
    if place == "link":
        (stored.directory / "link.bin").symlink_to(secret)
    with pytest.raises(ArtifactError):
        find_engine(engine).load(stored, LoadOptions())


def test_weights_in_the_directory_are_read(tmp_path: Path, engine: str) -> None:
    stored = write_graph(tmp_path / "model", "weights.bin")
    (stored.directory / "weights.bin").write_bytes(SECRET.tobytes())
    graph = find_engine(engine).load(stored, LoadOptions())
    outputs = graph.run({"x": np.ones((1, 4), np.float32)})
    np.testing.assert_array_equal(outputs["y"], [SECRET + 1])
    graph.close()
