"""Hyperspectral: crops on the fields of Salinas Valley (AVIRIS)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from omnivec2.preprocess import Array, Sample
from omnivec2.spec import DataSource, Modality, TaskFamily
from omnivec2.training.data import augmentation
from omnivec2.training.data.base import (
    DataDirectories,
    LazySequence,
    Loader,
    Split,
    TaskData,
    build,
    preprocess_spec,
)

_SIDE = 150
_TRAIN_PER_CLASS, _VAL_PER_CLASS = 50, 20

_LABELS = (
    "broccoli green weeds 1",
    "broccoli green weeds 2",
    "grapes untrained",
    "corn senesced green weeds",
    "lettuce romaine 4 weeks",
    "lettuce romaine 5 weeks",
    "lettuce romaine 6 weeks",
    "lettuce romaine 7 weeks",
)
"""The file only numbers its classes. Their kinds are in the description of the course
project it comes from; corn, the lettuces and the first broccoli were matched by their mean
spectra (all within 1 degree) with the labelled SalinasA scene, which overlaps this one and
must therefore never be trained on."""


def load_salinas(at: DataDirectories) -> TaskData:
    """Load 150 x 150 pixels of Salinas, 50 pixels of a class to train on, 20 as ``val``.

    Pixels are drawn at random as in most of the literature, so windows of the test part
    overlap windows of the training part: figures flatter what a new field would give.
    """
    file = at.find("hyperspectral/salinas_crop150_labeled.npz")
    spec = preprocess_spec(Modality.HYPERSPECTRAL, window=7, bands=204)
    cube, pixels, labels = _read(file)
    windows = build(spec).prepare(cube).samples

    def window(index: int) -> Sample:
        return windows[int(pixels[index])]

    everything = Split(LazySequence(len(pixels), window), labels)
    generator = np.random.default_rng(10)
    order = [generator.permutation(np.flatnonzero(labels == c)) for c in range(len(_LABELS))]
    stop = _TRAIN_PER_CLASS + _VAL_PER_CLASS
    bounds = {"train": (0, _TRAIN_PER_CLASS), "val": (_TRAIN_PER_CLASS, stop), "test": (stop, None)}
    return TaskData(
        route="hyperspectral/landcover",
        family=TaskFamily.SEGMENTATION,
        preprocess=spec,
        splits={
            part: everything.take(np.sort(np.concatenate([rows[first:last] for rows in order])))
            for part, (first, last) in bounds.items()
        },
        metric="accuracy",
        test_name="Salinas crop, all other labelled pixels",
        sources=(
            DataSource(
                name="Salinas (AVIRIS), 150x150 crop",
                licence="none stated (public scene)",
                source="github.com/vmargonis/salinas_hsi_processing",
            ),
        ),
        labels=_LABELS,
        augment=augmentation.hyperspectral,
        description="Which of eight crops grows at every pixel of an AVIRIS cube (204 bands).",
    )


def _read(file: Path) -> tuple[Array, Array, Array]:
    """Read the cube (absent, unlabelled pixels stay 0), pixel numbers (row-major), labels."""
    with np.load(file) as data:
        spectra, classes, positions = data["X"], data["y"], data["pos"]
    column, row = np.divmod(positions.astype(np.int64) - 1, _SIDE)
    cube = np.zeros((_SIDE, _SIDE, spectra.shape[1]), dtype=spectra.dtype)
    cube[row, column] = spectra
    return cube, row * _SIDE + column, classes.astype(np.int64) - 1


TASKS: dict[str, Loader] = {"hyperspectral/landcover": load_salinas}
