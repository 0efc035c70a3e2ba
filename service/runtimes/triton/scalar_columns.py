"""Scalars per row, which Triton has none of: its configurations declare such tensors as ``[1]``."""

from __future__ import annotations

from omnivec2.preprocess import Array
from omnivec2.spec import TensorSpec
from service.runtimes.base import Inference, Model


def as_column(tensor: TensorSpec, array: Array) -> Array:
    """Return an input in the type and shape that a server takes."""
    # TensorRT has no 16-bit integers: a plan's head spec says int32 where pixels are uint16.
    typed = array.astype(tensor.dtype, copy=False)
    return typed if tensor.shape else typed.reshape(-1, 1)


def without_columns(model: Model, answer: Inference) -> Inference:
    """Return an answer with outputs of the shapes that the head's spec states."""
    scalars = {tensor.name for tensor in model.spec.outputs if not tensor.shape}
    if not scalars:
        return answer
    outputs = {
        name: array.reshape(-1) if name in scalars else array
        for name, array in answer.outputs.items()
    }
    return Inference(outputs, answer.queue_seconds, answer.compute_seconds)
