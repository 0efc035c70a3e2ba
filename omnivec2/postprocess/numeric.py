"""Checks of outputs, and the functions that turn logits into scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from omnivec2.errors import ModelNotReadyError
from omnivec2.postprocess.base import Array
from omnivec2.spec import HeadSpec

Floats = npt.NDArray[np.float64]


def checked_output(outputs: Mapping[str, Array], name: str, spec: HeadSpec, ndim: int) -> Floats:
    """Check a named output and return it as float64.

    Args:
        outputs: The outputs of the runtime.
        name: The name of the output.
        spec: The head's spec, for messages.
        ndim: The number of axes it must have, the first being the samples.

    Raises:
        ModelNotReadyError: the model gives no such output, one of another shape, or
            values that are not finite: its files are wrong, not the caller's input.
    """
    if name not in outputs:
        raise ModelNotReadyError(f"{spec.route} gives no output {name!r}")
    array = np.asarray(outputs[name], dtype=np.float64)
    if array.ndim != ndim or not len(array):
        raise ModelNotReadyError(f"{spec.route} gives an output {name!r} of shape {array.shape}")
    if not np.isfinite(array).all():
        raise ModelNotReadyError(f"{spec.route} gives values that are not finite numbers")
    return array


def checked_labels(spec: HeadSpec, count: int) -> tuple[str, ...]:
    """Return the head's labels.

    Raises:
        ModelNotReadyError: the spec does not name exactly ``count`` classes.
    """
    if len(spec.labels) != count:
        raise ModelNotReadyError(
            f"{spec.route} gives {count} classes, its head spec names {len(spec.labels)}"
        )
    return spec.labels


def softmax(logits: Floats, axis: int = -1) -> Floats:
    """Compute probabilities that add up to 1 along an axis."""
    raised: Floats = np.exp(logits - logits.max(axis=axis, keepdims=True))
    raised /= raised.sum(axis=axis, keepdims=True)
    return raised


def sigmoid(logits: Floats) -> Floats:
    """Compute independent probabilities, without overflow at either end."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * logits)), dtype=np.float64)


def is_averaged(context: Mapping[str, Any], samples: int) -> bool:
    """Whether the samples are parts of one input, whose answers are averaged."""
    default = "mean" if samples == 1 else "each"
    return bool(context.get("reduce", default) == "mean")
