"""Arrays of the training part, from which constants are fitted."""

from __future__ import annotations

import numpy as np

from omnivec2.preprocess import Array
from omnivec2.spec import TaskFamily
from omnivec2.training.data.base import TargetForm, TaskData

FITTING_SAMPLES = 4000
"""Training samples that scaling constants are estimated from."""

_FITTING_MAPS = 500
"""Training maps that the same is estimated from: each holds thousands of numbers."""


def evenly_chosen(task: TaskData, name: str) -> Array:
    """Return evenly chosen training arrays of one input, stacked.

    Args:
        task: The task with the training part.
        name: The name of the input, as the pre-processor gives it.
    """
    samples = task.splits["train"].samples
    step = max(1, len(samples) // FITTING_SAMPLES)
    return np.stack([samples[i][name] for i in range(0, len(samples), step)])


def target_statistics(task: TaskData) -> tuple[Array, Array]:
    """Return the mean and the deviation of every quantity of a regression task, [targets].

    A quantity that does not vary in training has the deviation 1, so that errors can be divided.
    """
    targets = task.splits["train"].targets
    if task.form is TargetForm.MAP:
        step = max(1, len(targets) // _FITTING_MAPS)
        maps = np.stack([targets[row] for row in range(0, len(targets), step)])
        values = maps.reshape(len(maps), len(task.targets), -1).astype(np.float64)
        mean, deviation = np.nanmean(values, axis=(0, 2)), np.nanstd(values, axis=(0, 2))
    else:
        values = np.stack(list(targets))
        mean, deviation = values.mean(axis=0), values.std(axis=0)
    return np.asarray(mean, np.float32), np.where(deviation > 0, deviation, 1).astype(np.float32)


def target_scales(task: TaskData) -> Array | None:
    """Return what errors of a task in real units are divided by; None for other families."""
    return target_statistics(task)[1] if task.family is TaskFamily.REGRESSION else None
