"""Traces of modules, kept on disk: tracing takes seconds a graph, and most exports repeat it.

A trace is a graph without the values of weights. Whatever graph is made of a kept one passes the
same checks as one that was just traced: its weights are compared with the checkpoint's, and its
answers with PyTorch's.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Self

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError
from torch import Tensor, nn

from omnivec2.atomic_files import write_file
from omnivec2.engines.cache_directory import DEFAULT_CACHE, resolve_cache

_LIMIT = 512
"""The number of traces that are kept; beyond it, those go that were not used for longest."""

_NO_FILE = "weights"
"""The file in which a trace would look for its weights, if somebody loaded it as it is."""

_INNER = "inner."
"""The beginning of the names of values inside a graph."""


class KeptTraces:
    """A directory of traces.

    Args:
        directory: The directory; it need not exist.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @classmethod
    def of_user(cls) -> Self:
        """Return those beside what the service measures and compiles for this machine."""
        named = os.environ.get("OMNIVEC2_CACHE_DIR")
        return cls(resolve_cache(Path(named) if named else DEFAULT_CACHE) / "traces")

    def find(self, key: str) -> bytes | None:
        """Return a trace; None if there is none.

        Args:
            key: The digest of what the trace depends on.
        """
        try:
            data = self._path(key).read_bytes()
            os.utime(self._path(key))
        except OSError:
            return None
        return data

    def keep(self, key: str, trace: bytes) -> None:
        """Keep a trace; where the disk refuses, there is none next time.

        Args:
            key: The digest of what the trace depends on.
            trace: The trace.
        """
        with contextlib.suppress(OSError):
            self.directory.mkdir(parents=True, exist_ok=True)
            write_file(self._path(key), trace)
            self._remove_oldest()

    def _path(self, key: str) -> Path:
        return self.directory / f"{key}.onnx"

    def _remove_oldest(self) -> None:
        kept = list(self.directory.glob("*.onnx"))
        if len(kept) > _LIMIT:
            kept.sort(key=lambda path: path.stat().st_mtime)
            for path in kept[: len(kept) - _LIMIT]:
                path.unlink(missing_ok=True)


def without_weights(model: ir.Model, module: nn.Module) -> bytes:
    """Return a graph as a trace, without what helps to debug the exporter.

    Args:
        model: The graph of a module; its weights are exchanged for their types and shapes.
        module: The module.
    """
    weights = _tensors(module)
    for name, value in model.graph.initializers.items():
        if name in weights and (tensor := value.const_value) is not None:
            shape = ir.Shape(tensor.shape.numpy())
            value.const_value = ir.ExternalTensor(
                _NO_FILE, 0, tensor.nbytes, tensor.dtype, shape=shape, name=name
            )
    given = {*model.graph.outputs}
    for index, node in enumerate(model.graph.all_nodes()):
        node.doc_string = None
        node.metadata_props.clear()
        for output_index, value in enumerate(node.outputs):
            if value not in given:
                # The exporter may leave a value with the name of an output, which no file can hold.
                value.name = f"{_INNER}{index}.{output_index}"
    data: bytes = ir.to_proto(model).SerializeToString()
    return data


def with_weights(trace: bytes, module: nn.Module) -> ir.Model | None:
    """Return the graph of a trace with the weights of a module.

    Args:
        trace: The trace.
        module: A module of the structure that was traced.

    Returns:
        The graph; None if the trace is damaged, or names weights that the module does not have.
    """
    try:
        model = ir.from_proto(onnx.load_model_from_string(trace))
    except (DecodeError, ValueError, ir.serde.SerdeError):
        return None
    weights = _tensors(module)
    for name, value in model.graph.initializers.items():
        if isinstance(value.const_value, ir.ExternalTensor):
            if name not in weights:
                return None
            value.const_value = ir.tensor(weights[name].detach().numpy(), name=name)
    return model


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    """Return the parameters and buffers of a module by all their names."""
    return {
        **dict(module.named_parameters(remove_duplicate=False)),
        **dict(module.named_buffers(remove_duplicate=False)),
    }
