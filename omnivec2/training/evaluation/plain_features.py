"""Plain features of prepared samples, for simple models to measure the network against.

Everything a linear model can fairly be given: the same arrays the network gets, flattened,
pooled where they would be over some five thousand numbers, one-hot where they are ids.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import sparse

from omnivec2.preprocess import Array, Sample
from omnivec2.spec import Modality

Features = Callable[[Sample], Array]

_GRID = 12
"""Cells along each side of the grid that points are counted in."""


def feature_matrix(modality: Modality, samples: Sequence[Sample]) -> Any:
    """One row of features per sample.

    Returns:
        float32 [n, d]; for modalities that are bags of ids, a sparse matrix of that shape.
    """
    if modality in _BAGS:
        return _BAGS[modality](samples)
    make = _FEATURES[modality]
    return np.stack([make(sample) for sample in samples]).astype(np.float32)


def pooled(array: Array, *sizes: int) -> Array:
    """Means over equal blocks of the first axes, so that they get ``sizes``; rests are cut."""
    whole = [length // size * size for length, size in zip(array.shape, sizes, strict=False)]
    array = array[tuple(slice(length) for length in whole)]
    shape: list[int] = []
    for length, size in zip(array.shape, sizes, strict=False):
        shape += [size, length // size]
    rest = array.shape[len(sizes) :]
    blocks = array.astype(np.float32).reshape(*shape, *rest)
    return np.asarray(blocks.mean(axis=tuple(range(1, 2 * len(sizes), 2))))


def _image(sample: Sample) -> Array:
    height, width = sample["pixels"].shape[:2]
    return pooled(sample["pixels"], height // 3, width // 3).ravel()


def _video(sample: Sample) -> Array:
    frames, height, width = sample["frames"].shape[:3]
    return pooled(sample["frames"], frames, height // 8, width // 8).ravel()


def _audio(sample: Sample) -> Array:
    fbank = sample["fbank"]
    flat = pooled(fbank, len(fbank) // 16, fbank.shape[1] // 4).ravel()
    return np.concatenate([flat, fbank.mean(axis=0), fbank.std(axis=0)])


def _depth(sample: Sample) -> Array:
    frames, height, width = sample["depth"].shape
    return pooled(sample["depth"], frames // 2, height // 4, width // 4).ravel()


def _pointcloud(sample: Sample) -> Array:
    points = (sample["groups"] + sample["centres"][:, None]).reshape(-1, 3)
    cells = ((points + 1) / 2 * _GRID).astype(np.int64).clip(0, _GRID - 1)
    index = np.ravel_multi_index(tuple(cells.T), (_GRID,) * 3)
    return np.asarray(np.bincount(index, minlength=_GRID**3) > 0)


def _timeseries(sample: Sample) -> Array:
    return sample["values"]


def _tabular(sample: Sample) -> Array:
    return np.concatenate([sample["numbers"], sample["missing"]])


def _xray(sample: Sample) -> Array:
    return pooled(sample["pixels"], 32, 32).ravel()


def _imu(sample: Sample) -> Array:
    signal = sample["signal"]
    return np.concatenate([signal.ravel(), signal.mean(axis=0), signal.std(axis=0)])


def _hyperspectral(sample: Sample) -> Array:
    window = sample["window"]
    middle = len(window) // 2
    return np.concatenate([window[middle, middle], window.mean(axis=(0, 1))])


def _counts(sizes: Mapping[int, int], columns: Array) -> list[Array]:
    return [
        np.bincount(columns[:, c], minlength=size)[:size].astype(np.float32)
        for c, size in sizes.items()
    ]


def _graph_bag(samples: Sequence[Sample]) -> Any:
    """How often each value of each atom and bond field occurs."""
    rows = [
        np.concatenate(
            [
                *_counts(dict.fromkeys(range(s["nodes"].shape[1]), 128), s["nodes"]),
                *_counts(
                    dict.fromkeys(range(s["edge_features"].shape[1]), 32),
                    s["edge_features"][s["edge_mask"] > 0],
                ),
                np.array([len(s["nodes"]), s["edge_mask"].sum()], dtype=np.float32),
            ]
        )
        for s in samples
    ]
    return np.stack(rows).astype(np.float32)


def _text_bag(samples: Sequence[Sample]) -> Any:
    """Binary bags of token ids: all of them; for pairs, shared ones, others and their share."""
    rows: list[tuple[Array, Array, float]] = []
    for sample in samples:
        ids, kinds = sample["input_ids"], sample["token_type_ids"]
        first, second = np.unique(ids[kinds == 0]), np.unique(ids[kinds == 1])
        if len(second) == 0:
            rows.append((first, second, 0.0))
            continue
        shared = np.intersect1d(first, second)
        rows.append((np.setxor1d(first, second), shared, len(shared) / len(np.unique(ids))))
    bags = [_one_hot([row[0] for row in rows]), _one_hot([row[1] for row in rows])]
    share = sparse.csr_matrix(np.array([[row[2]] for row in rows], dtype=np.float32))
    return sparse.hstack([*bags, share]).tocsr()


def _one_hot(rows: Sequence[Array], size: int = 30_522) -> Any:
    """Sparse rows with 1 at the given columns; ``size`` is BERT's vocabulary."""
    ends = np.cumsum([0, *(len(row) for row in rows)])
    columns = np.concatenate([*rows, np.empty(0, dtype=np.int64)]).astype(np.int64)
    ones = np.ones(len(columns), dtype=np.float32)
    return sparse.csr_matrix((ones, columns, ends), shape=(len(rows), size))


def _tabular_bag(samples: Sequence[Sample]) -> Any:
    """Numbers, missing flags and one column per category."""
    numbers = np.stack([_tabular(sample) for sample in samples])
    categories = np.stack([sample["categories"] for sample in samples])
    if categories.shape[1] == 0:
        return numbers.astype(np.float32)
    # Ids are small: a column of each possible id of each category, all-zero ones included.
    width = 128
    flat = categories + np.arange(categories.shape[1]) * width
    hot = _one_hot(list(flat), categories.shape[1] * width)
    return np.concatenate([numbers, hot.toarray()], axis=1).astype(np.float32)


_FEATURES: dict[Modality, Features] = {
    Modality.IMAGE: _image,
    Modality.VIDEO: _video,
    Modality.AUDIO: _audio,
    Modality.DEPTH: _depth,
    Modality.POINTCLOUD: _pointcloud,
    Modality.TIMESERIES: _timeseries,
    Modality.XRAY: _xray,
    Modality.INFRARED: _xray,
    Modality.IMU: _imu,
    Modality.HYPERSPECTRAL: _hyperspectral,
}
_BAGS: dict[Modality, Callable[[Sequence[Sample]], Any]] = {
    Modality.TEXT: _text_bag,
    Modality.TABULAR: _tabular_bag,
    Modality.GRAPH: _graph_bag,
}
