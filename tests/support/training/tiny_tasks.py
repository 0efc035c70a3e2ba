"""Tasks in memory that simple models can solve."""

from __future__ import annotations

import numpy as np

from omnivec2.spec import DataSource, Modality, Target, TaskFamily
from omnivec2.training.data import Split, TaskData
from omnivec2.training.data.base import preprocess_spec

SOURCE = DataSource(name="made up", licence="CC0")


def classification(count: int = 60, metric: str = "accuracy") -> TaskData:
    """Rows of two numbers, the second noise; the sign of the first is the class."""
    rng = np.random.default_rng(0)

    def split() -> Split:
        numbers = rng.normal(size=(count, 2)).astype(np.float32)
        numbers[:, 0] += np.sign(numbers[:, 0])
        rows = [
            {"numbers": row, "missing": np.zeros(2, np.uint8), "categories": np.zeros(0, np.int32)}
            for row in numbers
        ]
        return Split(rows, (numbers[:, 0] > 0).astype(np.int64))

    columns = [{"name": name, "kind": "number"} for name in ("a", "b")]
    return TaskData(
        route="tabular/sign",
        family=TaskFamily.CLASSIFICATION,
        preprocess=preprocess_spec(Modality.TABULAR, columns=columns),
        splits={part: split() for part in ("train", "val", "test")},
        metric=metric,
        test_name="signs",
        sources=(SOURCE,),
        labels=("minus", "plus"),
    )


def regression(count: int = 60) -> TaskData:
    """The same rows; the target is twice the first number plus one."""
    task = classification(count)
    parts = {
        part: Split(
            split.samples,
            np.array([[2 * row["numbers"][0] + 1] for row in split.samples], dtype=np.float32),
        )
        for part, split in task.splits.items()
    }
    return TaskData(
        route="tabular/double",
        family=TaskFamily.REGRESSION,
        preprocess=task.preprocess,
        splits=parts,
        metric="rmse",
        test_name="doubles",
        sources=(SOURCE,),
        targets=(Target(name="double", unit="m"),),
    )


def forecasting(count: int = 60) -> TaskData:
    """Waves of several phases on two levels; the next values follow from the last."""

    def split(seed: int) -> Split:
        phases = np.random.default_rng(seed).uniform(0, 2 * np.pi, count)
        scale = np.where(np.arange(count) % 2, 10.0, 1.0).astype(np.float32)
        steps = np.arange(24) * 2 * np.pi / 12
        waves = (np.sin(phases[:, None] + steps) * scale[:, None] + 5 * scale[:, None]).astype(
            np.float32
        )
        return Split([{"values": wave[:16]} for wave in waves], waves[:, 16:], scales=scale)

    return TaskData(
        route="timeseries/waves",
        family=TaskFamily.FORECASTING,
        preprocess=preprocess_spec(Modality.TIMESERIES, context_length=16, horizon=8),
        splits={part: split(seed) for seed, part in enumerate(("train", "val", "test"))},
        metric="mse",
        test_name="waves",
        sources=(SOURCE,),
        horizon=8,
    )


def segmentation() -> TaskData:
    """Pictures whose dark half is class 0 and whose light half is class 1."""
    rng = np.random.default_rng(0)

    def split() -> Split:
        pictures, masks, references = [], [], []
        for _ in range(3):
            mask = np.zeros((32, 48), dtype=np.uint8)
            mask[:, int(rng.integers(2, 5)) * 8 :] = 1
            noise = rng.integers(0, 40, (32, 48, 3))
            pictures.append({"pixels": (mask[..., None] * 200 + noise).astype(np.uint8)})
            mask[:2] = 255
            masks.append(mask)
            references.append(mask.repeat(2, axis=0).repeat(2, axis=1))
        return Split(pictures, masks, references=references)

    return TaskData(
        route="image/halves",
        family=TaskFamily.SEGMENTATION,
        preprocess=preprocess_spec(Modality.IMAGE, height=32, width=48, resize="stretch"),
        splits={part: split() for part in ("train", "val", "test")},
        metric="miou",
        test_name="halves",
        sources=(SOURCE,),
        labels=("dark", "light"),
    )


def detection() -> TaskData:
    """Dark pictures with light squares of one cell."""
    rng = np.random.default_rng(0)

    def split() -> Split:
        pictures, targets = [], []
        for _ in range(12):
            pixels = rng.integers(0, 40, (64, 96, 3), dtype=np.uint8)
            row, column = rng.integers(4), rng.integers(6)
            pixels[row * 16 : row * 16 + 16, column * 16 : column * 16 + 16] = 250
            box = [(column + 0.5) / 6, (row + 0.5) / 4, 1 / 6, 1 / 4]
            pictures.append({"pixels": pixels})
            targets.append(
                {"boxes": np.array([box], np.float32), "labels": np.zeros(1, dtype=np.int64)}
            )
        return Split(pictures, targets)

    return TaskData(
        route="image/squares",
        family=TaskFamily.DETECTION,
        preprocess=preprocess_spec(Modality.IMAGE, height=64, width=96, resize="stretch"),
        splits={part: split() for part in ("train", "val", "test")},
        metric="ap50",
        test_name="squares",
        sources=(SOURCE,),
        labels=("square",),
    )
