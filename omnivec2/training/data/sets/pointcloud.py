"""Point clouds: ten kinds of furniture (ModelNet10)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from omnivec2.preprocess import Array, Sample
from omnivec2.spec import DataSource, Modality, TaskFamily
from omnivec2.training.data import augmentation
from omnivec2.training.data.base import (
    DataDirectories,
    Loader,
    Split,
    TaskData,
    build,
    hold_out,
    preprocess_spec,
)
from omnivec2.training.data.sample_store import stored

_JITTER = 0.4
"""Half-width, in voxels, of the noise that hides the voxel grid from the network: real
clouds have none. Seeded by the item, so that prepared data never change."""


def load_modelnet10(at: DataDirectories) -> TaskData:
    """Load ModelNet10 with its official split; a tenth of the training part is ``val``.

    A few grids of the file are empty (7 to train on, 1 to test); they are left out.
    """
    file = at.find("pointcloud_modelnet10/modelnet10_vox30_packed.npz")
    spec = preprocess_spec(Modality.POINTCLOUD, points=1024, groups=64, neighbours=32)
    preprocessor = build(spec)
    with np.load(file) as data:
        classes = tuple(str(name).replace("_", " ") for name in data["classes"])

    def split(part: str) -> Split:
        def make() -> Iterator[Sample]:
            for points in _clouds(file, part):
                yield preprocessor.prepare(points).samples[0]

        with np.load(file) as data:
            filled = data[f"vox_{part}"].any(axis=1)
            targets = data[f"y_{part}"][filled].astype(np.int64)
        name = f"pointcloud-modelnet10-{part}"
        return Split(stored(at, name, spec, [file], make), targets)

    train = split("train")
    fit, val = hold_out(train.targets, 0.1, seed=10)
    return TaskData(
        route="pointcloud/classification",
        family=TaskFamily.CLASSIFICATION,
        preprocess=spec,
        splits={"train": train.take(fit), "val": train.take(val), "test": split("test")},
        metric="accuracy",
        test_name="ModelNet10 test (public half)",
        sources=(
            DataSource(
                name="ModelNet10, 30x30x30 voxels",
                licence="academic research use (ModelNet); none in the repository",
                source="github.com/amitregmi/VoxNet-Google-Colab",
            ),
        ),
        labels=classes,
        augment=augmentation.pointcloud,
        description="Which of ten pieces of furniture a point cloud is the surface of.",
    )


def _clouds(file: Path, part: str) -> Iterator[Array]:
    """Yield clouds, float32 [n, 3]: jittered centres of the voxels at the surface."""
    with np.load(file) as data:
        shape = tuple(int(side) for side in data["shape"])
        packed = data[f"vox_{part}"]
    packed = packed[packed.any(axis=1)]
    for index, bits in enumerate(packed):
        count = int(np.prod(shape))
        voxels = np.unpackbits(bits, count=count).reshape(shape).astype(bool)
        points = np.argwhere(surface(voxels)).astype(np.float32)
        noise = np.random.default_rng(index).uniform(-_JITTER, _JITTER, points.shape)
        yield (points + noise).astype(np.float32)


def surface(voxels: Array) -> Array:
    """Return occupied voxels of which at least one of the six neighbours is empty."""
    padded = np.pad(voxels, 1)
    inside = np.ones_like(voxels)
    for axis in range(3):
        for shift in (-1, 1):
            inside &= np.roll(padded, shift, axis)[1:-1, 1:-1, 1:-1]
    return np.asarray(voxels & ~inside)


TASKS: dict[str, Loader] = {"pointcloud/classification": load_modelnet10}
