"""Sounds: spans of time, each replaced by silence."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from omnivec2.explanations.occlusion import Occlusion
from omnivec2.explanations.window_spans import occlude_windows
from omnivec2.preprocess import Prepared, Preprocessor
from omnivec2.preprocess.formats.media.filter_banks import MIN_ENERGY, FilterBanks
from omnivec2.preprocess.formats.media.windows import window_starts

_SHORTEST_FRAMES = 10
"""The shortest span: a tenth of a second."""


def occlude(preprocessor: Preprocessor[Any, Any], prepared: Prepared, most: int) -> Occlusion:
    """Cut a recording into spans of time; see the package."""
    p = preprocessor.parameters
    frames = prepared.context["frames"]
    banks = FilterBanks(p.sample_rate, p.mel_bins)
    starts = window_starts(frames, p.frames, p.max_windows) if frames > p.frames else [0]
    windows = [sample["fbank"] for sample in prepared.samples]
    silence = np.float32(math.log(MIN_ENERGY))
    return occlude_windows(
        "fbank", windows, starts, frames, banks.shift_s,
        lambda window: np.full_like(window, silence),
        most=min(most, max(1, frames // _SHORTEST_FRAMES)), baseline="silence",
    )  # fmt: skip
