"""Motion: spans of time in which every channel stays at its mean."""

from __future__ import annotations

from typing import Any

import numpy as np

from omnivec2.explanations.occlusion import Occlusion
from omnivec2.explanations.window_spans import occlude_windows
from omnivec2.preprocess import Array, Prepared, Preprocessor
from omnivec2.preprocess.formats.media.windows import window_starts

_SHORTEST_SAMPLES = 4


def occlude(preprocessor: Preprocessor[Any, Any], prepared: Prepared, most: int) -> Occlusion:
    """Cut a recording into spans of time; see the package."""
    p = preprocessor.parameters
    length = prepared.context["length"]
    starts = window_starts(length, p.window, p.max_windows)
    windows = [sample["signal"] for sample in prepared.samples]
    mean = np.mean([window.mean(axis=0) for window in windows], axis=0)

    def rest(window: Array) -> Array:
        return np.broadcast_to(mean.astype(window.dtype), window.shape)

    return occlude_windows(
        "signal", windows, starts, length, 1.0 / p.rate_hz, rest,
        most=min(most, max(1, length // _SHORTEST_SAMPLES)),
        baseline="the mean of each channel over the recording",
    )  # fmt: skip
