"""What all losses share: the form of their arguments, and what they leave out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

Outputs = Mapping[str, Tensor]

IGNORE = 255
"""The mask value of pixels, and the label of points, that no loss counts."""
SMOOTHING = 0.05
"""The label smoothing of classes, and of the words of a text."""


class LossScale:
    """The standard deviations that errors in real units are divided by."""

    def __init__(self, scale: Tensor | None = None) -> None:
        self.scale = scale


Loss = Callable[[Outputs, Sequence[Any], LossScale], Tensor]
"""(outputs, targets, scale) -> the mean over samples, in float32."""
