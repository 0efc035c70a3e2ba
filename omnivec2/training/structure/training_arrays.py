"""Arrays of the training part, from which constants are fitted."""

from __future__ import annotations

import numpy as np

from omnivec2.preprocess import Array
from omnivec2.training.data.base import TaskData

FITTING_SAMPLES = 4000
"""Training samples that scaling constants are estimated from."""


def evenly_chosen(task: TaskData, name: str) -> Array:
    """Return evenly chosen training arrays of one input, stacked.

    Args:
        task: The task with the training part.
        name: The name of the input, as the pre-processor gives it.
    """
    samples = task.splits["train"].samples
    step = max(1, len(samples) // FITTING_SAMPLES)
    return np.stack([samples[i][name] for i in range(0, len(samples), step)])
