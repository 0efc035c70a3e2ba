"""Simple models for pictures of scenes: a linear classifier per cell of a coarse grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from omnivec2.preprocess import Array
from omnivec2.training.data.base import TaskData
from omnivec2.training.evaluation.plain_features import pooled
from omnivec2.training.evaluation.quality_metrics import IGNORE, METRICS, box_iou

_FIT_CELLS = 30_000
_SEGMENTATION_CELL, _DETECTION_CELL = 8, 16
_ANSWERS = 100
"""The number of boxes of a class kept per picture, those with the highest scores."""


def segmentation_baselines(task: TaskData) -> dict[str, float]:
    """Measure the commonest class everywhere, and a logistic regression per 8 x 8 pixel cell."""
    metric = METRICS[task.metric].measure
    train, test = task.splits["train"], task.splits["test"]
    assert test.references is not None
    references = list(test.references)
    pixels = np.concatenate([np.asarray(mask).ravel() for mask in train.targets])
    commonest = int(np.argmax(np.bincount(pixels[pixels != IGNORE])))
    constant = [np.full(reference.shape, commonest, dtype=np.uint8) for reference in references]
    features = np.concatenate([_cells(s["pixels"], _SEGMENTATION_CELL) for s in train.samples])
    labels = np.concatenate([_majorities(np.asarray(mask)).ravel() for mask in train.targets])
    counted = labels != IGNORE
    model = _fit(features[counted], labels[counted])

    def mask_of(picture: Array, size: tuple[int, int]) -> Array:
        height, width = (side // _SEGMENTATION_CELL for side in picture.shape[:2])
        scores = model.predict_proba(_cells(picture, _SEGMENTATION_CELL)).astype(np.float32)
        maps = scores.reshape(height, width, -1)
        return np.asarray(model.classes_[np.argmax(resize_maps(maps, size), axis=2)])

    masks = [
        mask_of(sample["pixels"], reference.shape[:2])
        for sample, reference in zip(test.samples, references, strict=True)
    ]
    return {"majority": metric(constant, references), "linear": metric(masks, references)}


def resize_maps(maps: Array, size: tuple[int, int]) -> Array:
    """Resize maps float32 [h, w, c] to another (height, width), bilinearly."""
    height, width = size
    layers = [
        Image.fromarray(np.ascontiguousarray(maps[..., c])).resize(
            (width, height), Image.Resampling.BILINEAR
        )
        for c in range(maps.shape[2])
    ]
    return np.stack([np.asarray(layer) for layer in layers], axis=2)


def detection_baselines(task: TaskData) -> dict[str, float]:
    """Measure mean boxes in every cell, and a logistic regression on cells that hold a centre.

    Both answer with the mean box of a class in the middle of a cell of 16 x 16 pixels, and
    suppress boxes that overlap a higher-scored one of their class.
    """
    metric = METRICS[task.metric].measure
    train, test = task.splits["train"], task.splits["test"]
    references = list(test.targets)
    height, width = (side // _DETECTION_CELL for side in train.samples[0]["pixels"].shape[:2])
    labels = np.concatenate([_centres(t, (height, width), len(task.labels)) for t in train.targets])
    sizes = _mean_sizes(train.targets, len(task.labels))
    features = np.concatenate([_cells(s["pixels"], _DETECTION_CELL) for s in train.samples])
    model = _fit(features, labels)
    prior = np.stack([labels.reshape(-1, height * width) == c for c in range(len(task.labels))], -1)
    constant = _boxes(prior.mean(axis=0), sizes, (height, width))
    found = []
    for sample in test.samples:
        scores = np.zeros((height * width, len(task.labels) + 1))
        scores[:, model.classes_] = model.predict_proba(_cells(sample["pixels"], _DETECTION_CELL))
        found.append(_boxes(scores[:, :-1], sizes, (height, width)))
    return {
        "majority": metric([constant] * len(test), references),
        "linear": metric(found, references),
    }


def _fit(features: Array, labels: Array) -> Any:
    chosen = np.random.default_rng(0).permutation(len(labels))[:_FIT_CELLS]
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300))
    return model.fit(features[chosen], labels[chosen])


def _cells(pixels: Array, side: int) -> Array:
    """Return mean and spread of colour of cells and eight neighbours, and places: [cells, d]."""
    height, width = pixels.shape[0] // side, pixels.shape[1] // side
    mean = pooled(pixels, height, width)
    square = pooled(pixels.astype(np.float32) ** 2, height, width)
    own = np.concatenate([mean, np.sqrt(np.maximum(square - mean**2, 0))], axis=2)
    around = np.pad(own, ((1, 1), (1, 1), (0, 0)), mode="edge")
    parts = [around[y : y + height, x : x + width] for y in range(3) for x in range(3)]
    rows, columns = np.mgrid[:height, :width] / max(height, width)
    place = np.stack([rows, columns, rows**2, columns**2, rows * columns], axis=2)
    return np.concatenate([*parts, place], axis=2).reshape(height * width, -1)


def _majorities(mask: Array) -> Array:
    """Return the commonest value of every cell of a mask."""
    side = _SEGMENTATION_CELL
    height, width = mask.shape[0] // side, mask.shape[1] // side
    cells = mask.reshape(height, side, width, side).swapaxes(1, 2).reshape(height * width, -1)
    counts = np.stack([np.bincount(cell, minlength=IGNORE + 1) for cell in cells])
    return np.asarray(np.argmax(counts, axis=1))


def _centres(target: dict[str, Array], grid: tuple[int, int], none: int) -> Array:
    """Return the class of the object whose centre a cell holds, or ``none``: [cells]."""
    cells = np.full(grid, none)
    columns = (target["boxes"][:, 0] * grid[1]).astype(np.int64).clip(0, grid[1] - 1)
    rows = (target["boxes"][:, 1] * grid[0]).astype(np.int64).clip(0, grid[0] - 1)
    cells[rows, columns] = target["labels"]
    return cells.ravel()


def _mean_sizes(targets: Sequence[dict[str, Array]] | Array, classes: int) -> Array:
    """Return the mean width and height of each class's boxes: [classes, 2]."""
    boxes = np.concatenate([target["boxes"] for target in targets])
    labels = np.concatenate([target["labels"] for target in targets])
    return np.stack([boxes[labels == c, 2:].mean(axis=0) for c in range(classes)])


def _boxes(scores: Array, sizes: Array, grid: tuple[int, int]) -> dict[str, Array]:
    """Return the highest-scored mean boxes of a grid of scores [cells, classes]."""
    rows, columns = np.divmod(np.arange(grid[0] * grid[1]), grid[1])
    middle = np.stack([(columns + 0.5) / grid[1], (rows + 0.5) / grid[0]], axis=1)
    boxes, labels, kept_scores = [], [], []
    for label, size in enumerate(sizes):
        own = np.concatenate([middle, np.tile(size, (len(middle), 1))], axis=1)
        kept = suppress_overlaps(own, scores[:, label])[:_ANSWERS]
        boxes.append(own[kept])
        labels.append(np.full(len(kept), label))
        kept_scores.append(scores[kept, label])
    return {
        "boxes": np.concatenate(boxes),
        "labels": np.concatenate(labels),
        "scores": np.concatenate(kept_scores),
    }


def suppress_overlaps(boxes: Array, scores: Array, most_overlap: float = 0.5) -> Array:
    """Return indices of boxes by falling score, after non-maximum suppression."""
    remaining = np.argsort(-scores, kind="stable")
    kept = []
    while len(remaining):
        kept.append(remaining[0])
        overlaps = box_iou(boxes[remaining[:1]], boxes[remaining[1:]])[0]
        remaining = remaining[1:][overlaps <= most_overlap]
    return np.array(kept, dtype=np.int64)
