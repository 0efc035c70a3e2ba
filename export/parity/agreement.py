"""The distance between two answers."""

from __future__ import annotations

import numpy as np

from omnivec2.arrays import Array

_SMALLEST_SCALE = 1e-6


def relative_error(answer: Array | None, expected: Array) -> float:
    """Return max|a-b| / max(max|b|, 1e-6) of an answer a and the expected one b.

    The error is infinite where there is no answer, shapes differ or a value is not finite.
    """
    if answer is None or answer.shape != expected.shape:
        return float("inf")
    if not (np.isfinite(answer).all() and np.isfinite(expected).all()):
        return float("inf")
    exact = expected.astype(np.float64)
    difference = np.abs(answer.astype(np.float64) - exact).max(initial=0)
    return float(difference / max(np.abs(exact).max(initial=0), _SMALLEST_SCALE))
