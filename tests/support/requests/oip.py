"""Requests of the Open Inference Protocol, written by hand as a client would."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from omnivec2.spec import HeadSpec, TensorSpec
from service.oip.tensors import DATATYPES
from tests.support.model_repositories.tiny_models import classification

# Made once: its pre-processor reads a vocabulary.
_BASE = classification("text/sentiment", "no", "yes")


def tensors_spec(*inputs: tuple[str, str, tuple[int, ...]], **fields: Any) -> HeadSpec:
    """A head that takes these (name, dtype, shape)."""
    made = tuple(
        TensorSpec.model_validate({"name": name, "dtype": dtype, "shape": shape})
        for name, dtype, shape in inputs
    )
    return _BASE.model_copy(update={"inputs": made, **fields})


def random_array(random: np.random.Generator, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """Any bits of a type; floats are finite."""
    if dtype == "bool":
        return random.integers(0, 2, shape).astype(bool)
    if dtype.startswith("float"):
        return (random.normal(size=shape) * 100).astype(dtype)
    limits = np.iinfo(dtype)
    return random.integers(limits.min, limits.max, shape, dtype, endpoint=True)


def wire_input(name: str, array: np.ndarray, **fields: Any) -> dict[str, Any]:
    """An input without its values."""
    datatype = DATATYPES[array.dtype.name]
    return {"name": name, "datatype": datatype, "shape": list(array.shape), **fields}


def json_body(arrays: Mapping[str, np.ndarray], **fields: Any) -> bytes:
    """A body of JSON alone."""
    inputs = [wire_input(name, a, data=a.tolist()) for name, a in arrays.items()]
    return json.dumps({"inputs": inputs, **fields}).encode()


def binary_body(arrays: Mapping[str, np.ndarray], **fields: Any) -> tuple[bytes, str]:
    """A body with raw tensors, and the header that says where they begin."""
    inputs = [
        wire_input(name, a, parameters={"binary_data_size": a.nbytes}) for name, a in arrays.items()
    ]
    head = json.dumps({"inputs": inputs, **fields}).encode()
    return head + b"".join(a.tobytes() for a in arrays.values()), str(len(head))
