"""A small device's recordings: data of a tiny head, and others that it cannot know."""

from __future__ import annotations

from typing import Any

import numpy as np

from omnivec2.preprocess import Sample, preprocessor_for
from omnivec2.spec import TaskFamily
from omnivec2.training.data.base import Split, TaskData
from tests.support.model_repositories.tiny_models import classification

HEAD = classification("imu/activity", "still", "moving")


def recordings(count: int, seed: int, level: float = 1.0) -> Split:
    """Recordings of a small device whose values lie around a level."""
    rng = np.random.default_rng(seed)
    samples: list[Sample] = [
        {"signal": (level + 0.1 * rng.normal(size=HEAD.inputs[0].shape)).astype(np.float32)}
        for _ in range(count)
    ]
    return Split(samples, [0] * count)


def device_task(*, val: int = 60) -> TaskData:
    return TaskData(
        route=HEAD.route,
        family=TaskFamily.CLASSIFICATION,
        preprocess=HEAD.preprocess,
        splits={
            "train": recordings(100, 1),
            "val": recordings(val, 2),
            "test": recordings(50, 3),
            "elsewhere": recordings(50, 4, level=9.0),
        },
        metric="accuracy",
        test_name="Device",
        sources=(),
        labels=HEAD.labels,
    )


def as_json(level: float) -> dict[str, list[float]]:
    """A recording whose values lie around a level, as a caller sends it."""
    signal = recordings(1, 5, level).samples[0]["signal"]
    parameters: Any = preprocessor_for(HEAD).parameters
    return {name: signal[:, index].tolist() for index, name in enumerate(parameters.channels)}
