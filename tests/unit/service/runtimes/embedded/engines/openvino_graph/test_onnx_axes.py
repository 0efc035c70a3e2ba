from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from omnivec2.errors import ArtifactError
from service.runtimes.embedded.engines.openvino_graph.onnx_axes import read_axes


def test_axes_are_read_with_their_sizes_and_names(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["tokens", "weight"], ["features"])],
        "a graph",
        [helper.make_tensor_value_info("tokens", TensorProto.FLOAT, ["batch", None, 3])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", "length", 200])],
        [numpy_helper.from_array(np.zeros((3, 200), np.float32), "weight")],
    )
    onnx.save(helper.make_model(graph), tmp_path / "model.onnx")
    inputs, outputs = read_axes(tmp_path / "model.onnx")
    assert inputs == {"tokens": ("batch", None, 3)}
    assert outputs == {"features": ("batch", "length", 200)}


@pytest.mark.parametrize("content", [b"\x3a\x05abc", b"\x3b", b"\x80", b"\x3a\x02\x5a\x05"])
def test_a_file_that_is_no_graph_is_an_error_that_names_it(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"model\.onnx: cannot be read as ONNX"):
        read_axes(file)


def test_fields_of_fixed_width_are_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(b"\x09" + bytes(8) + b"\x15" + bytes(4) + b"\x3a\x00")
    assert read_axes(file) == ({}, {})
