"""Pressure readings that rise or fall, as they might be read off a barometer."""

from __future__ import annotations

import numpy as np

from omnivec2.spec import DataSource, Modality, TaskFamily
from omnivec2.training.data.base import (
    DataDirectories,
    Loader,
    Split,
    TaskData,
    build,
    preprocess_spec,
)


def load_trend(at: DataDirectories) -> TaskData:
    """Read a file with a series per row; the parts are a half and two quarters of it."""
    spec = preprocess_spec(Modality.TOY, readings=16)
    preprocessor = build(spec)
    with np.load(at.find("barometer.npz")) as data:
        pressure, rises = data["pressure"], data["rises"].astype(np.int64)
    samples = [preprocessor.prepare(series).samples[0] for series in pressure]
    parts = dict(
        zip(
            ("train", "val", "test"),
            np.split(np.arange(len(samples)), [len(samples) // 2, len(samples) * 3 // 4]),
            strict=True,
        )
    )
    whole = Split(samples, rises)
    return TaskData(
        route="toy/trend",
        family=TaskFamily.CLASSIFICATION,
        preprocess=spec,
        splits={name: whole.take(rows) for name, rows in parts.items()},
        metric="accuracy",
        test_name="the last quarter of the series",
        sources=(DataSource(name="made up", licence="CC0"),),
        labels=("falling", "rising"),
        description="Whether the pressure rises or falls.",
    )


TASKS: dict[str, Loader] = {"toy/trend": load_trend}
