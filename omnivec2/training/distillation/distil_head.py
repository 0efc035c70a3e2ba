"""The fit: a linear map from the frozen network's summaries to a teacher's vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch

from omnivec2.network.config import HeadConfig
from omnivec2.network.fc_head import FullyConnectedHead
from omnivec2.preprocess import Array, Sample, collate
from omnivec2.training.adaptation.fitting.fit_layers import standardise
from omnivec2.training.adaptation.fitting.linear_map import PENALTIES, fit_linear_map
from omnivec2.training.batches import as_tensors
from omnivec2.training.distillation.teachers import Teacher

_BATCH = 32
_HELD_OUT = 0.1
_SMALLEST_LENGTH = 1e-12


@dataclass(frozen=True)
class Distilled:
    """A fitted head.

    Attributes:
        head: The head in evaluation mode.
        penalty: The penalty that was chosen on inputs held out of the fit.
        likeness: The mean cosine of its answers and the teacher's vectors on those inputs.
    """

    head: FullyConnectedHead
    penalty: float
    likeness: float


@torch.inference_mode()
def vectors_of(
    teacher: Teacher, samples: Sequence[Sample], advance: Callable[[int], None] = lambda _: None
) -> Array:
    """Return the teacher's vectors of all samples, of length 1: float32 [samples, width]."""
    order = sorted(range(len(samples)), key=lambda i: max(map(len, samples[i].values())))
    vectors: Array | None = None
    for start in range(0, len(order), _BATCH):
        rows = order[start : start + _BATCH]
        found = teacher(as_tensors(collate([samples[row] for row in rows]))).numpy()
        if vectors is None:
            vectors = np.empty((len(samples), found.shape[1]), np.float32)
        vectors[rows] = found
        advance(len(rows))
    if vectors is None:
        raise ValueError("no samples to be taught on")
    return _of_length_one(vectors)


def axes_of(vectors: Array, dimensions: int, *, is_centred: bool) -> tuple[Array, Array]:
    """Return the mean and the axes on which vectors differ most, in that order.

    On these axes a vector may be cut off at any length: what is left is the best of that length.

    Args:
        vectors: The teacher's vectors [samples, width].
        dimensions: The number of axes.
        is_centred: Whether the mean is subtracted; otherwise it is 0.

    Returns:
        The mean [width] and the axes [dimensions, width].
    """
    mean = vectors.mean(axis=0) if is_centred else np.zeros(vectors.shape[1], np.float32)
    _, _, axes = np.linalg.svd(vectors - mean, full_matrices=False)
    return mean, axes[:dimensions]


def distil(
    config: HeadConfig, summaries: Array, taught: Array, widths: tuple[int, int]
) -> Distilled:
    """Fit a head to vectors; the penalty is chosen on a tenth of the inputs.

    Args:
        config: The head, with two hidden units per output.
        summaries: The summaries that it sees, float32 [samples, summaries].
        taught: The vectors that it learns, float32 [samples, outputs].
        widths: The widths of g and of f.
    """
    head = FullyConnectedHead(config, *widths).requires_grad_(False)
    standardise(head, torch.from_numpy(summaries))
    x = (summaries - summaries.mean(axis=0)) / cast(Array, head.std.numpy())
    held = np.random.default_rng(0).random(len(x)) < _HELD_OUT
    weights = np.ones(len(x))
    scored = []
    for penalty in PENALTIES["quantities"]:
        fitted = fit_linear_map(x[~held], taught[~held], weights[~held], penalty, classes=0)
        cosines = (_of_length_one(fitted.answers(x[held])) * _of_length_one(taught[held])).sum(1)
        scored.append((float(cosines.mean()), penalty))
    likeness, penalty = max(scored)
    fit_linear_map(x, taught, weights, penalty, classes=0).set_into(head)
    return Distilled(head.eval(), penalty, likeness)


def _of_length_one(vectors: Array) -> Array:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, _SMALLEST_LENGTH))
