"""Infrared: people and vehicles seen by a drone's thermal camera (HIT-UAV)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from omnivec2.preprocess import Sample
from omnivec2.spec import DataSource, Modality, TaskFamily
from omnivec2.training.data import augmentation
from omnivec2.training.data.base import (
    DataDirectories,
    Loader,
    Split,
    TaskData,
    build,
    preprocess_spec,
)
from omnivec2.training.data.sample_store import stored

_LABELS = {"Person": "person", "Car": "car", "Bicycle": "bicycle", "OtherVehicle": "other vehicle"}


def load_hituav(at: DataDirectories) -> TaskData:
    """Load square crops around the objects of HIT-UAV, with its official split."""
    file = at.find("infrared_hituav/hituav_crops_32x32.npz")
    spec = preprocess_spec(
        Modality.INFRARED, height=64, width=64, low_percentile=1, high_percentile=99
    )
    preprocessor = build(spec)
    with np.load(file) as data:
        names = [str(name) for name in data["classes"] if str(name) in _LABELS]

    def split(part: str) -> Split:
        with np.load(file) as data:
            pictures, labels = data[f"X_{part}"], data[f"y_{part}"]

        def make() -> Iterator[Sample]:
            for picture in pictures:
                yield preprocessor.prepare(picture).samples[0]

        samples = stored(at.cache, f"infrared-hituav-{part}", spec, [file], make)
        return Split(samples, labels.astype(np.int64))

    return TaskData(
        route="infrared/objects",
        family=TaskFamily.CLASSIFICATION,
        preprocess=spec,
        splits={part: split(part) for part in ("train", "val", "test")},
        metric="accuracy",
        test_name="HIT-UAV test crops (public half)",
        sources=(
            DataSource(
                name="HIT-UAV",
                licence="CC BY 4.0",
                source="github.com/suojiashun/HIT-UAV-Infrared-Thermal-Dataset",
            ),
        ),
        labels=tuple(_LABELS[name] for name in names),
        augment=augmentation.infrared,
        description="What the middle of a thermal picture taken by a drone shows.",
    )


TASKS: dict[str, Loader] = {"infrared/objects": load_hituav}
