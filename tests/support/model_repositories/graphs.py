"""Small ONNX graphs written as text, as an export leaves them on disk, and running them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import onnxruntime as ort
from safetensors.numpy import save_file

from omnivec2.arrays import Array


def write_graph(directory: Path, text: str, **constants: Array) -> tuple[Path, Path]:
    """A graph in ONNX's own text syntax, its large constants given by name.

    Returns:
        The ``model.onnx``, and a ``weights.safetensors`` beside it that it reads nothing of.
    """
    header = '<ir_version: 10, opset_import: ["" : 20, "local" : 1]>\n'
    model = onnx.parser.parse_model(header + text)
    for name, array in constants.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    path, weights = directory / "model.onnx", directory / "weights.safetensors"
    onnx.save(model, path)
    save_file({"unused": np.zeros(1, np.float32)}, weights)
    return path, weights


def session(model: ir.Model | Path, directory: Path) -> ort.InferenceSession:
    """ONNX Runtime on a model or a file; warnings about half precision are not shown."""
    path = model if isinstance(model, Path) else directory / "session.onnx"
    if not isinstance(model, Path):
        ir.save(model, path)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
