"""Read the axes of a graph's tensors from its ONNX file: OpenVINO forgets their names.

The names say which axes have one size, which the batcher needs to know. The file is read field by
field in protobuf's wire format, because the package ``onnx`` is no part of the service.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from omnivec2.errors import ArtifactError
from service.runtimes.embedded.engines.base import Axis, Shape

# Field numbers of onnx.proto3.
_MODEL_GRAPH = 7
_GRAPH_INPUT, _GRAPH_OUTPUT = 11, 12
_NAME, _TYPE = 1, 2
_TENSOR_TYPE = 1
_SHAPE = 2
_DIM = 1
_DIM_VALUE, _DIM_NAME = 1, 2

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

_Value = int | memoryview


def read_axes(file: Path) -> tuple[dict[str, Shape], dict[str, Shape]]:
    """Return the axes of the inputs and of the outputs: name -> sizes or names of the axes.

    Args:
        file: An ONNX file.

    Raises:
        ArtifactError: It cannot be read, or is no ONNX file.
    """
    try:
        model = memoryview(file.read_bytes())
        graph = _one(model, _MODEL_GRAPH)
        return _tensors(graph, _GRAPH_INPUT), _tensors(graph, _GRAPH_OUTPUT)
    except (OSError, ValueError, IndexError) as error:
        raise ArtifactError(f"{file}: cannot be read as ONNX: {error}") from error


def _tensors(graph: memoryview, field: int) -> dict[str, Shape]:
    shapes = {}
    for number, tensor in _fields(graph):
        if number == field and isinstance(tensor, memoryview):
            shape = _one(_one(_one(tensor, _TYPE), _TENSOR_TYPE), _SHAPE)
            dims = [dim for number, dim in _fields(shape) if number == _DIM]
            name = str(_one(tensor, _NAME), "utf-8")
            shapes[name] = tuple(_axis(dim) for dim in dims if isinstance(dim, memoryview))
    return shapes


def _axis(dim: memoryview) -> Axis:
    for number, value in _fields(dim):
        if number == _DIM_VALUE and isinstance(value, int):
            return value
        if number == _DIM_NAME and isinstance(value, memoryview):
            return str(value, "utf-8") or None
    return None


def _one(message: memoryview, field: int) -> memoryview:
    """Return the last value of a field, as protobuf does; empty if it is not there."""
    found = memoryview(b"")
    for number, value in _fields(message):
        if number == field and isinstance(value, memoryview):
            found = value
    return found


def _fields(message: memoryview) -> Iterator[tuple[int, _Value]]:
    """Yield the number and the value of every field of a message.

    Raises:
        ValueError: It is no message.
        IndexError: It ends within a field.
    """
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        kind = tag & 7
        if kind == _VARINT:
            value, position = _varint(message, position)
            yield tag >> 3, value
            continue
        if kind == _BYTES:
            length, position = _varint(message, position)
        elif kind in (_FIXED64, _FIXED32):
            length = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"a field of the unknown kind {kind}")
        if position + length > len(message):
            raise ValueError("a field is longer than the file")
        yield tag >> 3, message[position : position + length]
        position += length


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    """Return an integer of seven bits per byte, and the position behind it."""
    value, shift = 0, 0
    while True:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
