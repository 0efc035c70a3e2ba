"""Small tasks in memory, one for each form of targets, that a tiny network learns in seconds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from omnivec2.preprocess.pointcloud import PointCloudPreprocessor
from omnivec2.spec import Modality, Target, TaskFamily
from omnivec2.training.data import Split, TaskData
from omnivec2.training.data.base import PointLabels, TargetForm, build, preprocess_spec
from tests.support.training import tiny_tasks

CONTEXT = 32
_PARTS = ("train", "val", "test")


def multi_label(count: int = 64) -> TaskData:
    """Rows of two numbers; each of the labels says that one of them is positive."""
    task = tiny_tasks.classification(count)
    splits = {
        part: Split(
            split.samples,
            np.stack([(sample["numbers"] > 0).astype(np.uint8) for sample in split.samples]),
        )
        for part, split in task.splits.items()
    }
    return replace(
        task,
        route="tabular/signs",
        splits=splits,
        form=TargetForm.MULTI_LABEL,
        labels=("first", "second"),
        metric="map",
        class_weights=(1.0, 2.0),
    )


def two_values(count: int = 64) -> TaskData:
    """Rows of two numbers; the targets are their sum and, in other units, their difference."""
    task = tiny_tasks.regression(count)
    splits = {
        part: Split(
            split.samples,
            np.array(
                [[s["numbers"].sum(), 100 * (s["numbers"][0] - s["numbers"][1])]
                 for s in split.samples],
                dtype=np.float32,
            ),
        )
        for part, split in task.splits.items()
    }  # fmt: skip
    return replace(
        task,
        route="tabular/two_values",
        splits=splits,
        targets=(Target(name="sum", unit="m"), Target(name="difference", unit="cm")),
        metric="mae",
        loss="l1",
    )


def _waves(count: int, seed: int, length: int = CONTEXT) -> np.ndarray:
    """Return sines of several phases and of one period, float32 [count, length]."""
    phases = np.random.default_rng(seed).uniform(0, 2 * np.pi, (count, 1))
    return np.sin(phases + np.arange(length) * 2 * np.pi / 16).astype(np.float32)


def series_classes(count: int = 64) -> TaskData:
    """Slow waves and fast ones."""

    def split(seed: int) -> Split:
        waves, labels = _waves(count, seed), np.arange(count) % 2
        fast = np.tile(waves[:, ::2], 2)
        series = np.where(labels[:, None] == 1, fast, waves)
        return Split([{"values": row} for row in series], labels)

    return TaskData(
        route="timeseries/speed",
        family=TaskFamily.CLASSIFICATION,
        preprocess=preprocess_spec(Modality.TIMESERIES, context_length=CONTEXT),
        splits={part: split(seed) for seed, part in enumerate(_PARTS)},
        metric="accuracy",
        test_name="speeds",
        sources=(tiny_tasks.SOURCE,),
        labels=("slow", "fast"),
    )


def anomaly(count: int = 64) -> TaskData:
    """Waves; outside of the training part every fourth is noise instead."""

    def split(seed: int) -> Split:
        series = _waves(count, seed)
        odd = np.zeros(count, dtype=bool) if seed == 0 else np.arange(count) % 4 == 0
        noise = np.random.default_rng(seed + 10).normal(size=series.shape).astype(np.float32)
        series[odd] = noise[odd]
        return Split([{"values": row} for row in series], odd[:, None].astype(np.uint8))

    return replace(
        series_classes(count),
        route="timeseries/anomaly",
        form=TargetForm.ANOMALY,
        labels=("anomaly",),
        splits={part: split(seed) for seed, part in enumerate(_PARTS)},
        metric="map",
        further_metrics=("f1_micro",),
    )


def quantiles(count: int = 64) -> TaskData:
    """Waves with noise, of which three quantiles are forecast."""
    task = tiny_tasks.forecasting(count)

    def noisy(split: Split, seed: int) -> Split:
        assert split.scales is not None
        noise = np.random.default_rng(seed).normal(0, 0.2, np.shape(split.targets))
        targets = np.asarray(split.targets) + noise * split.scales[:, None]
        return replace(split, targets=targets.astype(np.float32))

    return replace(
        task,
        route="timeseries/quantiles",
        splits={part: noisy(split, seed) for seed, (part, split) in enumerate(task.splits.items())},
        quantiles=(0.1, 0.5, 0.9),
        further_metrics=("pinball", "coverage"),
    )


def depth_map(count: int = 16, loss: str = "") -> TaskData:
    """Pictures that are lighter where they are farther away; the left column is unknown."""

    def split(seed: int) -> Split:
        rng = np.random.default_rng(seed)
        pictures, depths = [], []
        for _ in range(count):
            near, far = np.sort(rng.uniform(1.0, 5.0, 2))
            depth = np.linspace(near, far + 1, 48, dtype=np.float32) * np.ones((32, 1), np.float32)
            pixels = (depth[..., None] * 40 + rng.integers(0, 5, (32, 48, 3))).astype(np.uint8)
            depth[:, :2] = np.nan
            pictures.append({"pixels": pixels})
            depths.append(depth[None])
        return Split(pictures, depths)

    return TaskData(
        route="image/depth",
        family=TaskFamily.REGRESSION,
        form=TargetForm.MAP,
        preprocess=preprocess_spec(Modality.IMAGE, height=32, width=48, resize="stretch"),
        splits={part: split(seed) for seed, part in enumerate(_PARTS)},
        metric="abs_rel",
        further_metrics=("rmse", "delta1"),
        test_name="slopes",
        sources=(tiny_tasks.SOURCE,),
        targets=(Target(name="depth", unit="m"),),
        loss=loss,
    )


def points(count: int = 16) -> TaskData:
    """Balls, whose points are of the upper or the lower half."""
    spec = preprocess_spec(Modality.POINTCLOUD, points=64, groups=16, neighbours=8)
    preprocessor = build(spec)
    assert isinstance(preprocessor, PointCloudPreprocessor)

    def split(seed: int) -> Split:
        rng = np.random.default_rng(seed)
        samples, targets = [], []
        for _ in range(count):
            cloud = rng.normal(size=(120, 3)).astype(np.float32)
            prepared = preprocessor.prepare(cloud)
            labels = (cloud[:, 2] > 0).astype(np.uint8)
            labels[:5] = 255
            samples.append(prepared.samples[0])
            targets.append(PointLabels(labels, np.asarray(prepared.context["assignment"])))
        return Split(samples, targets)

    return TaskData(
        route="pointcloud/halves",
        family=TaskFamily.SEGMENTATION,
        form=TargetForm.POINTS,
        preprocess=spec,
        splits={part: split(seed) for seed, part in enumerate(_PARTS)},
        metric="miou",
        test_name="halves of balls",
        sources=(tiny_tasks.SOURCE,),
        labels=("below", "above"),
    )


def identities(count: int = 64, loss: str = "") -> TaskData:
    """Noisy copies of eight series; copies of one series belong together."""
    kinds = np.random.default_rng(9).normal(size=(8, CONTEXT))

    def split(seed: int) -> Split:
        numbers = np.arange(count) % 8
        noise = np.random.default_rng(seed).normal(0, 0.7, (count, CONTEXT))
        series = (kinds[numbers] + noise).astype(np.float32)
        return Split([{"values": row} for row in series], numbers)

    return replace(
        series_classes(count),
        route="timeseries/identity",
        family=TaskFamily.EMBEDDING,
        form=TargetForm.IDENTITY,
        splits={part: split(seed) for seed, part in enumerate(_PARTS)},
        labels=(),
        dimensions=12,
        metric="recall@1",
        further_metrics=("search_map",),
        loss=loss,
    )
