"""How far two answers lie apart, and what an engine raises instead of one."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from onnxruntime.capi import onnxruntime_pybind11_state as ort_state

Array = npt.NDArray[Any]

ENGINE_ERRORS: tuple[type[Exception], ...] = tuple(
    kind
    for kind in vars(ort_state).values()
    if isinstance(kind, type) and issubclass(kind, Exception)
)
"""What ONNX Runtime raises for a graph it cannot load or run; they have no common base."""

_SMALLEST_SCALE = 1e-6


def relative_error(answer: Array | None, expected: Array) -> float:
    """max|a-b| / max(max|b|, 1e-6); infinite where shapes differ or a value is not finite."""
    if answer is None or answer.shape != expected.shape:
        return float("inf")
    if not (np.isfinite(answer).all() and np.isfinite(expected).all()):
        return float("inf")
    exact = expected.astype(np.float64)
    difference = np.abs(answer.astype(np.float64) - exact).max(initial=0)
    return float(difference / max(np.abs(exact).max(initial=0), _SMALLEST_SCALE))
