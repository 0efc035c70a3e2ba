"""Helpers for plain features, from which simple models answer to measure the network against.

A linear model is given everything it can fairly be given: the same arrays the network gets,
flattened, pooled where they would be over some five thousand numbers, one-hot where they are
ids. Which features a modality has is in its module of ``omnivec2.training.modalities``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import sparse

from omnivec2.preprocess import Array, Sample

_VOCABULARY = 30_522
"""The number of ids of BERT's vocabulary."""


def feature_rows(features: Callable[[Sample], Array], samples: Sequence[Sample]) -> Array:
    """Return the features of every sample, float32 [samples, features]."""
    return np.stack([features(sample) for sample in samples]).astype(np.float32)


def pooled(array: Array, *sizes: int) -> Array:
    """Average equal blocks of the first axes, so that they get ``sizes``; rests are cut."""
    whole = [length // size * size for length, size in zip(array.shape, sizes, strict=False)]
    array = array[tuple(slice(length) for length in whole)]
    shape: list[int] = []
    for length, size in zip(array.shape, sizes, strict=False):
        shape += [size, length // size]
    rest = array.shape[len(sizes) :]
    blocks = array.astype(np.float32).reshape(*shape, *rest)
    return np.asarray(blocks.mean(axis=tuple(range(1, 2 * len(sizes), 2))))


def one_hot(rows: Sequence[Array], size: int = _VOCABULARY) -> Any:
    """Return a sparse matrix of ``size`` columns with 1 at the columns that each row lists."""
    ends = np.cumsum([0, *(len(row) for row in rows)])
    columns = np.concatenate([*rows, np.empty(0, dtype=np.int64)]).astype(np.int64)
    ones = np.ones(len(columns), dtype=np.float32)
    return sparse.csr_matrix((ones, columns, ends), shape=(len(rows), size))
