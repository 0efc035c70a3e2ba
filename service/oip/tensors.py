"""Conversion of wire tensors to and from arrays; sizes are checked before memory is allocated."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from omnivec2.errors import InvalidInputError, TooLargeError
from omnivec2.preprocess import Array
from omnivec2.spec import DType, HeadSpec, Limits, TensorSpec

DATATYPES: Mapping[str, str] = {
    "bool": "BOOL",
    "uint8": "UINT8",
    "int8": "INT8",
    "int16": "INT16",
    "uint16": "UINT16",
    "int32": "INT32",
    "int64": "INT64",
    "float16": "FP16",
    "float32": "FP32",
}
"""A head spec's dtype -> the protocol's name of it."""

_UNSUPPORTED = ("shared_memory_region", "classification")
"""Parameters of a tensor that would change the answer, and that are not supported."""

_TYPES: Mapping[str, set[type]] = {"b": {bool}, "i": {int}, "u": {int}, "f": {int, float}}
"""Kind of a dtype -> the Python types of its values in JSON."""

_ID_DTYPES = ("int32", "int64")

_MAX_DYNAMIC_AXIS = 4096
"""The ceiling on a dynamic axis of a modality without a limit on what the axis counts."""


@dataclass(frozen=True)
class Tensor:
    """An input as it came.

    Attributes:
        name: The name of the model's input.
        datatype: The datatype in the protocol's spelling, e.g. FP32.
        shape: The shape, (batch, ...).
        data: The little-endian bytes in C order, or the values: flat, or lists nested as the
            shape says.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: bytes | memoryview | list[Any]


def read_tensors(spec: HeadSpec, tensors: Sequence[Tensor]) -> dict[str, Array]:
    """Return the inputs of a head, checked against its spec.

    Args:
        spec: The spec of the head.
        tensors: The tensors in any order.

    Returns:
        Input name -> array (batch, ...).

    Raises:
        TooLargeError: There are more rows or a longer axis than the model takes.
        InvalidInputError: An input is missing, unknown, given twice, or not as the spec says.
    """
    given = {tensor.name: tensor for tensor in tensors}
    known = [tensor.name for tensor in spec.inputs]
    if len(given) != len(tensors):
        raise InvalidInputError("an input is given twice", field="inputs", known=known)
    if different := given.keys() ^ set(known):
        names = ", ".join(sorted(different))[:200]
        raise InvalidInputError(
            f"{spec.name} takes {', '.join(known)}; missing or unknown: {names}",
            field="inputs",
            known=known,
        )
    longest = dynamic_limit(spec.limits)
    for expected in spec.inputs:
        _check(given[expected.name], expected, spec.max_batch_size, longest)
    if len({tensor.shape[0] for tensor in tensors}) != 1:
        raise InvalidInputError("the inputs differ in their number of rows", field="inputs")
    return {
        expected.name: _to_array(given[expected.name], expected.dtype) for expected in spec.inputs
    }


def check_ids(spec: HeadSpec, inputs: Mapping[str, Array]) -> None:
    """Refuse negative ids: a graph would count them from the end of its table, and answer.

    Inputs of 32 and 64 bits are ids, indices and masks; signals have 16 bits or are floats.

    Raises:
        InvalidInputError: There is one.
    """
    for tensor in spec.inputs:
        if tensor.dtype in _ID_DTYPES and (inputs[tensor.name] < 0).any():
            where = f"inputs.{tensor.name}.data"
            raise InvalidInputError(f"{where}: an id is negative", field=where)


def dynamic_limit(limits: Limits) -> int:
    """Return the longest that a dynamic axis may be: the largest of a modality's limits on counts.

    Attention needs memory by its square, so the size of the body is no sufficient limit.
    """
    counts = (
        limits.tokens,
        limits.nodes,
        limits.edges,
        limits.points,
        limits.rows,
        limits.frames,
    )
    return max((count for count in counts if count), default=_MAX_DYNAMIC_AXIS)


def max_values(spec: HeadSpec) -> int:
    """Return the number of values in the largest request that a head takes."""
    longest = dynamic_limit(spec.limits)
    row = sum(
        math.prod(longest if size < 0 else size for size in tensor.shape) for tensor in spec.inputs
    )
    return row * spec.max_batch_size


def check_parameters(parameters: Container[str], where: str) -> None:
    """Refuse parameters of a tensor that are not supported and must not be ignored.

    Raises:
        InvalidInputError: There is one.
    """
    for name in _UNSUPPORTED:
        if name in parameters:
            raise InvalidInputError(f"{where}: the parameter {name} is not served", field=where)


def to_bytes(array: Array) -> bytes:
    """Return an array's values as the protocol's raw content: little-endian, in C order."""
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def _check(tensor: Tensor, expected: TensorSpec, max_rows: int, longest: int) -> None:
    """Compare the declared type and shape of a tensor, and its size in bytes, with the spec."""
    datatype = DATATYPES[expected.dtype]
    if tensor.datatype != datatype:
        raise _wrong(tensor, "datatype", f"expected {datatype}, got {tensor.datatype[:20]!r}")
    if len(tensor.shape) != len(expected.shape) + 1 or not all(
        size >= 1 and expected_size in (-1, size)
        for size, expected_size in zip(tensor.shape, (-1, *expected.shape), strict=True)
    ):
        expected_shape = ", ".join(map(str, ("rows", *expected.shape)))
        got = ", ".join(str(size)[:20] for size in tensor.shape[:12])
        raise _wrong(tensor, "shape", f"expected [{expected_shape}], got [{got}]")
    if tensor.shape[0] > max_rows:
        message = f"inputs.{tensor.name}: {tensor.shape[0]} rows, at most {max_rows} are taken"
        raise TooLargeError(message, field=f"inputs.{tensor.name}.shape")
    axes = zip(tensor.shape[1:], expected.shape, strict=True)
    if any(size > longest and expected_size < 0 for size, expected_size in axes):
        message = f"inputs.{tensor.name}: an axis is longer than {longest:,}"
        raise TooLargeError(message, field=f"inputs.{tensor.name}.shape")
    if not isinstance(tensor.data, list):
        size = math.prod(tensor.shape) * np.dtype(expected.dtype).itemsize
        if len(tensor.data) != size:
            raise _wrong(tensor, "data", f"expected {size:,} bytes, got {len(tensor.data):,}")


def _to_array(tensor: Tensor, dtype: DType) -> Array:
    """Return the content as an array; sizes have been checked, types of values have not."""
    if isinstance(tensor.data, list):
        return _from_values(tensor, _flatten(tensor, tensor.data), dtype)
    stored = np.dtype("uint8" if dtype == "bool" else dtype).newbyteorder("<")
    array = np.frombuffer(tensor.data, stored).reshape(tensor.shape)
    # A content begins wherever the one before it ended; engines need aligned memory.
    return np.require(array.astype(dtype, copy=False), requirements=["C", "A"])


def _flatten(tensor: Tensor, values: list[Any]) -> list[Any]:
    """Return the values without their nesting, which must be that of the shape if there is any."""
    if len(tensor.shape) > 1 and values and isinstance(values[0], list):
        if len(values) != tensor.shape[0]:
            raise _wrong(tensor, "data", "the lists are not nested as the shape says")
        for size in tensor.shape[1:]:
            if not all(isinstance(row, list) and len(row) == size for row in values):
                raise _wrong(tensor, "data", "the lists are not nested as the shape says")
            values = list(chain.from_iterable(values))
    count = math.prod(tensor.shape)
    if len(values) != count:
        raise _wrong(tensor, "data", f"expected {count:,} values, got {len(values):,}")
    return values


def _from_values(tensor: Tensor, values: list[Any], dtype: DType) -> Array:
    kind = np.dtype(dtype).kind
    allowed = _TYPES[kind]
    if not set(map(type, values)) <= allowed:
        names = " or ".join(sorted(t.__name__ for t in allowed))
        raise _wrong(tensor, "data", f"expected values of type {names}")
    try:
        if kind != "f":
            return np.array(values, dtype).reshape(tensor.shape)
        wide = np.array(values, np.float64)
    except OverflowError as error:
        raise _wrong(tensor, "data", f"a value is out of range of {tensor.datatype}") from error
    with np.errstate(over="ignore"):
        array = wide.astype(dtype)
    if (np.isinf(array) & np.isfinite(wide)).any():
        raise _wrong(tensor, "data", f"a value is out of range of {tensor.datatype}")
    return array.reshape(tensor.shape)


def _wrong(tensor: Tensor, part: str, message: str) -> InvalidInputError:
    where = f"inputs.{tensor.name}.{part}"
    return InvalidInputError(f"{where}: {message}", field=where)
