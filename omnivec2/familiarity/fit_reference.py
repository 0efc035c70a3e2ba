"""Fits a training reference to the trunk's summaries of training rows and of rows held out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from omnivec2.arrays import Array, Batch
from omnivec2.familiarity.distances import Familiarity, UnpackedPlane, join_summaries
from omnivec2.familiarity.drift import describe_rows, fit_drift
from omnivec2.familiarity.training_reference import Contrast, Packed, Plane, TrainingReference

DIMENSIONS = 8
"""The dimensions of each plane: with more, rows of noise lie less far beside it."""
INSIDE = 0.995
"""The share of held-out rows that T, Q and the contrast are measured by."""
_LEAST_MARGIN, _MOST_MARGIN = 1.25, 3.5
"""The factors from there to the limit, at least and at most: new people and places lie farther."""
_NONSENSE_BEGINS = 0.1
"""The share of strange rows that may lie nearer than where nonsense is taken to begin."""
_HALF_WAY = 0.55
"""The exponent: a little nearer to nonsense, as few rows are held out."""
_ROWS_PER_DIMENSION = 10
_RIDGE, _LEAST_SCALE, _SMALLEST = 0.05, 0.1, 1e-6
_LEAST_RESIDUAL = 0.02
_DECILES = np.arange(1, 10) / 10


def fit_reference(
    train: Batch,
    held_out: Batch,
    *,
    strange: Batch | None = None,
    scores: Array | None = None,
    parts: Mapping[str, str] | None = None,
    data: str = "",
    dimensions: int = DIMENSIONS,
) -> TrainingReference:
    """Fit the planes to training rows, and set the limit on rows that were held out.

    Args:
        train: The summaries of training rows: name -> array (rows, width).
        held_out: The same of other rows, which share nothing with them: no recording, no person.
        strange: The same of inputs without meaning, for the contrast.
        scores: The scores of the held-out rows for each label, (rows, labels), if there are any.
        parts: The content digests of the parts that gave the summaries.
        data: The name of the data set.
        dimensions: The dimensions of each plane, at most.
    """
    planes = {name: _fit_plane(train[name], held_out[name], dimensions) for name in train}
    rows, held = (len(next(iter(own.values()))) for own in (train, held_out))
    contrast = _fit_contrast(train, held_out, strange)
    raw = TrainingReference(
        planes=planes,
        contrast=contrast,
        limit=1,
        rows=rows,
        held_out=held,
        inside=0,
        parts=dict(parts or {}),
        data=data,
    )
    distances = Familiarity(raw).distances(held_out)
    limit = _limit(distances, None if strange is None else Familiarity(raw).distances(strange))
    best = np.zeros(0) if scores is None else scores.max(axis=1)
    changes: dict[str, object] = {
        "limit": _rounded(limit),
        "inside": float(np.mean(distances <= limit)),
        "distance_deciles": _deciles(distances / limit),
        "score_deciles": _deciles(best),
        "label_shares": () if scores is None else _shares(scores),
    }
    fitted = raw.model_copy(update=changes)
    drift = fit_drift(describe_rows(Familiarity(fitted), held_out))
    return fitted.model_copy(update={"drift": drift})


def _fit_plane(train_RW: Array, held_out_RW: Array, dimensions: int) -> Plane:
    mean_W = train_RW.mean(axis=0, dtype=np.float64)
    centred_RW = train_RW - mean_W
    count = max(1, min(dimensions, len(train_RW) // _ROWS_PER_DIMENSION))
    _, values, directions = np.linalg.svd(centred_RW, full_matrices=False)
    deviations = values[:count] / np.sqrt(max(len(train_RW) - 1, 1))
    floor = max(float(deviations[0]) * 1e-3, 1e-6)
    plane = Plane(
        mean=Packed.of(mean_W),
        directions=Packed.of(directions[:count], "int8"),
        deviations=Packed.of(np.maximum(deviations, floor)),
        spread=1,
        residual=1,
    )
    spread, residual = UnpackedPlane(plane).measure(held_out_RW)
    # Q is a small difference of large squares where a plane holds nearly all of the space.
    least = _LEAST_RESIDUAL * float(np.linalg.norm(values)) / np.sqrt(len(train_RW))
    return plane.model_copy(
        update={"spread": _usual(spread), "residual": max(_usual(residual), _rounded(least))}
    )


def _fit_contrast(train: Batch, held_out: Batch, strange: Batch | None) -> Contrast | None:
    """Fit the direction from training rows to strange ones by ridge regression, both weighing 1."""
    if strange is None:
        return None
    names = tuple(train)
    inside_RW, outside_RW = (join_summaries(rows, names) for rows in (train, strange))
    mean_W, scale_W = inside_RW.mean(axis=0), inside_RW.std(axis=0)
    scale_W = np.maximum(scale_W, np.median(scale_W) * _LEAST_SCALE + _SMALLEST)
    inside_RW, outside_RW = ((rows - mean_W) / scale_W for rows in (inside_RW, outside_RW))
    covariance_WW = inside_RW.T @ inside_RW / len(inside_RW)
    covariance_WW += outside_RW.T @ outside_RW / len(outside_RW)
    covariance_WW += np.eye(len(mean_W)) * _RIDGE * np.trace(covariance_WW) / len(mean_W)
    weights_W = np.linalg.solve(covariance_WW, outside_RW.mean(axis=0)) / scale_W
    weights = Packed.of(weights_W / np.abs(weights_W).max())
    sums_R = join_summaries(held_out, names) @ weights.unpack()
    middle = float(np.median(sums_R))
    return Contrast(weights=weights, middle=middle, usual=middle + _usual(sums_R - middle))


def _limit(held_out_R: Array, strange_R: Array | None) -> float:
    """Return a distance about half-way, as factors go, from held-out rows to drawn nonsense."""
    usual = max(1.0, float(np.quantile(held_out_R, INSIDE)))
    begins = usual if strange_R is None else float(np.quantile(strange_R, _NONSENSE_BEGINS))
    return usual * float(np.clip((begins / usual) ** _HALF_WAY, _LEAST_MARGIN, _MOST_MARGIN))


def _usual(values_R: Array) -> float:
    """Return what few held-out rows exceed, with room for new ones."""
    return _rounded(max(float(np.quantile(values_R, INSIDE, method="higher")), _SMALLEST))


def _deciles(values: Array) -> tuple[float, ...]:
    if not len(values):
        return ()
    return tuple(_rounded(float(value)) for value in np.quantile(values, _DECILES))


def _shares(scores_RL: Array) -> tuple[float, ...]:
    counts = np.bincount(scores_RL.argmax(axis=1), minlength=scores_RL.shape[1])
    return tuple(_rounded(float(share)) for share in counts / len(scores_RL))


def _rounded(value: float) -> float:
    return float(f"{value:.5g}")
