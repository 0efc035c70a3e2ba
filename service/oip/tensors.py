"""Tensors as they travel, to and from arrays; every size is checked before memory is spent."""

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

_UNSERVED = ("shared_memory_region", "classification")
"""Parameters of a tensor that would change the answer, and that are not served."""

_TYPES: Mapping[str, set[type]] = {"b": {bool}, "i": {int}, "u": {int}, "f": {int, float}}
"""Kind of a dtype -> Python types of its values in JSON."""

_MOST_DYNAMIC = 4096
"""Ceiling on a dynamic axis of a modality whose limits count nothing."""


@dataclass(frozen=True)
class Tensor:
    """An input as it came.

    Attributes:
        name: of the model's input.
        datatype: the protocol's spelling, e.g. FP32.
        shape: (batch, ...).
        data: little-endian bytes in C order, or values: flat, or lists nested as the shape says.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: bytes | memoryview | list[Any]


def read_tensors(spec: HeadSpec, tensors: Sequence[Tensor]) -> dict[str, Array]:
    """The inputs of a head, checked against its spec.

    Args:
        spec: of the head.
        tensors: in any order.

    Returns:
        input name -> array (batch, ...).

    Raises:
        TooLargeError: more rows or a longer axis than the model takes.
        InvalidInputError: an input is missing, unknown, given twice, or not as the spec says.
    """
    given = {tensor.name: tensor for tensor in tensors}
    known = [tensor.name for tensor in spec.inputs]
    if len(given) != len(tensors):
        raise InvalidInputError("an input is given twice", field="inputs", known=known)
    if wrong := given.keys() ^ set(known):
        names = ", ".join(sorted(wrong))[:200]
        raise InvalidInputError(
            f"{spec.name} takes {', '.join(known)}; missing or unknown: {names}",
            field="inputs",
            known=known,
        )
    longest = dynamic_limit(spec.limits)
    for want in spec.inputs:
        _check(given[want.name], want, spec.max_batch_size, longest)
    if len({tensor.shape[0] for tensor in tensors}) != 1:
        raise InvalidInputError("the inputs differ in their number of rows", field="inputs")
    return {want.name: _to_array(given[want.name], want.dtype) for want in spec.inputs}


def dynamic_limit(limits: Limits) -> int:
    """Longest that a dynamic axis may be: it counts what one of the modality's limits counts.

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
    return max((count for count in counts if count), default=_MOST_DYNAMIC)


def most_values(spec: HeadSpec) -> int:
    """Values in the largest request that a head takes."""
    longest = dynamic_limit(spec.limits)
    row = sum(
        math.prod(longest if size < 0 else size for size in tensor.shape) for tensor in spec.inputs
    )
    return row * spec.max_batch_size


def check_served(parameters: Container[str], where: str) -> None:
    """Refuse (InvalidInputError) parameters of a tensor that must not be ignored."""
    for name in _UNSERVED:
        if name in parameters:
            raise InvalidInputError(f"{where}: the parameter {name} is not served", field=where)


def to_bytes(array: Array) -> bytes:
    """An array's values as the protocol's raw content: little-endian, in C order."""
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def _check(tensor: Tensor, want: TensorSpec, rows: int, longest: int) -> None:
    """Compare what a tensor claims to be, and the size of its content, with the spec."""
    expected = DATATYPES[want.dtype]
    if tensor.datatype != expected:
        raise _wrong(tensor, "datatype", f"expected {expected}, got {tensor.datatype[:20]!r}")
    if len(tensor.shape) != len(want.shape) + 1 or not all(
        size >= 1 and want_size in (-1, size)
        for size, want_size in zip(tensor.shape, (-1, *want.shape), strict=True)
    ):
        expected_shape = ", ".join(map(str, ("rows", *want.shape)))
        got = ", ".join(str(size)[:20] for size in tensor.shape[:12])
        raise _wrong(tensor, "shape", f"expected [{expected_shape}], got [{got}]")
    if tensor.shape[0] > rows:
        message = f"inputs.{tensor.name}: {tensor.shape[0]} rows, at most {rows} are taken"
        raise TooLargeError(message, field=f"inputs.{tensor.name}.shape")
    if any(s > longest and w < 0 for s, w in zip(tensor.shape[1:], want.shape, strict=True)):
        message = f"inputs.{tensor.name}: an axis is longer than {longest:,}"
        raise TooLargeError(message, field=f"inputs.{tensor.name}.shape")
    if not isinstance(tensor.data, list):
        size = math.prod(tensor.shape) * np.dtype(want.dtype).itemsize
        if len(tensor.data) != size:
            raise _wrong(tensor, "data", f"expected {size:,} bytes, got {len(tensor.data):,}")


def _to_array(tensor: Tensor, dtype: DType) -> Array:
    """The content as an array; sizes have been checked, types of values have not."""
    if isinstance(tensor.data, list):
        return _from_values(tensor, _flat(tensor, tensor.data), dtype)
    stored = np.dtype("uint8" if dtype == "bool" else dtype).newbyteorder("<")
    array = np.frombuffer(tensor.data, stored).reshape(tensor.shape)
    # A content begins wherever the one before it ended; engines want aligned memory.
    return np.require(array.astype(dtype, copy=False), requirements=["C", "A"])


def _flat(tensor: Tensor, values: list[Any]) -> list[Any]:
    """Values without their nesting, which must be that of the shape if there is any."""
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
