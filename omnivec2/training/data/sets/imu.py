"""Inertial sensors: six activities of people who carry a phone at the waist (UCI HAR)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from omnivec2.preprocess import Sample
from omnivec2.preprocess.imu import Recording
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

_CHANNELS = [f"{kind}_{axis}" for kind in ("acc", "body_acc", "body_gyro") for axis in "xyz"]
"""Total acceleration and that without gravity, in g, and angular speed in rad/s."""

_VAL_SUBJECTS = (27, 28, 29)


def load_ucihar(at: DataDirectories) -> TaskData:
    """Load UCI HAR with its official split by person; three training persons are ``val``."""
    file = at.find("imu_ucihar/ucihar_raw_64x9_float16.npz")
    spec = preprocess_spec(Modality.IMU, window=64, rate_hz=50, channels=_CHANNELS)
    preprocessor = build(spec)
    with np.load(file) as data:
        names = tuple(str(name).lower().replace("_", " ") for name in data["classes"])
        held = np.isin(data["s_train"], _VAL_SUBJECTS)

    def split(part: str) -> Split:
        with np.load(file) as data:
            signals, labels = data[f"X_{part}"], data[f"y_{part}"]

        def make() -> Iterator[Sample]:
            for signal in signals:
                yield preprocessor.prepare(Recording(signal.astype(np.float32))).samples[0]

        samples = stored(at, f"imu-ucihar-{part}", spec, [file], make)
        return Split(samples, labels.astype(np.int64))

    train = split("train")
    return TaskData(
        route="imu/activity",
        family=TaskFamily.CLASSIFICATION,
        preprocess=spec,
        splits={
            "train": train.take(np.flatnonzero(~held)),
            "val": train.take(np.flatnonzero(held)),
            "test": split("test"),
        },
        metric="accuracy",
        test_name="UCI HAR test (public half)",
        sources=(
            DataSource(
                name="UCI HAR (Anguita et al. 2012)",
                licence="no commercial use (README); CC BY 4.0 (UCI page)",
                source="github.com/AnkitS-21/Human-Activity-Recognition--HAR-",
            ),
        ),
        labels=names,
        augment=augmentation.imu,
        description="What a person who carries a phone at the waist is doing.",
    )


TASKS: dict[str, Loader] = {"imu/activity": load_ucihar}
