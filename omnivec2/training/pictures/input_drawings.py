"""Ways to show an input in a report: drawn into a panel, or as the cells of a table's row.

A prepared sample is shown, which is the input of the network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from omnivec2.preprocess import Array, Sample
from omnivec2.training.data.base import TaskData

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Drawing:
    """An input that is drawn.

    Attributes:
        draw: A function that draws a sample into a panel.
    """

    draw: Callable[[Axes, Sample], None]


@dataclass(frozen=True)
class TableRow:
    """An input that is shown as text.

    Attributes:
        cells: A function from a sample of a task to its cells by column.
    """

    cells: Callable[[Sample, TaskData], dict[str, str]]


def draw_pixels(axes: Axes, sample: Sample) -> None:
    """Draw ``pixels`` (H, W, 3) in colour, or (H, W, 1) in grey."""
    pixels = sample["pixels"]
    if pixels.shape[2] == 1:
        axes.imshow(pixels[..., 0], cmap="gray", vmin=0, vmax=255)
    else:
        axes.imshow(pixels)


def four_frames(frames: Array) -> Array:
    """Join four frames of a clip, two above two: (T, H, W, ...) -> (2 * H, 2 * W, ...)."""
    first, second, third, last = (
        frames[index] for index in np.linspace(0, len(frames) - 1, 4).round().astype(int)
    )
    rows = (np.concatenate(pair, axis=1) for pair in ((first, second), (third, last)))
    return np.concatenate(list(rows))
