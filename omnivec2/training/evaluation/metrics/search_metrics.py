"""Metrics of vectors: whether what shows the same thing is found first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from sklearn.metrics import average_precision_score

from omnivec2.preprocess import Array


class Searched(NamedTuple):
    """What a sample shows, and its part in the search.

    Attributes:
        identity: The number of what it shows.
        is_query: Whether it is looked for, or found; None for both.
    """

    identity: int
    is_query: bool | None = None


def recall_at(k: int) -> Callable[[Array, Sequence[Searched]], float]:
    """Return a metric: the share of queries with a match among the k nearest others (R@k)."""

    def measure(vectors: Array, wanted: Sequence[Searched]) -> float:
        found = query_values(vectors, wanted, k)
        return float(np.mean(found)) if len(found) else np.nan

    return measure


def search_map(vectors: Array, wanted: Sequence[Searched]) -> float:
    """Compute the mean over queries of the average precision of the others, nearest first (mAP).

    Args:
        vectors: The vectors [n, d], of any length; cosines order them.
        wanted: The identity of each sample; queries without a match are left out.
    """
    found = query_values(vectors, wanted, None)
    return float(np.mean(found)) if len(found) else np.nan


def query_values(vectors: Array, wanted: Sequence[Searched], k: int | None) -> Array:
    """Return the value of every query that has a match, [queries].

    Args:
        vectors: The vectors [n, d], of any length.
        wanted: The identity of each sample.
        k: The number of nearest others among which a match counts as 1; None for the average
            precision.
    """
    ranked = _ranked_matches(vectors, wanted)
    if k is None:
        return np.array([average_precision_score(*pair) for pair in ranked])
    return np.array([float(matches[:k].any()) for matches, _ in ranked])


def _ranked_matches(vectors: Array, wanted: Sequence[Searched]) -> list[tuple[Array, Array]]:
    """Return for each query which candidates match, and their cosines; best first."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.asarray(vectors, np.float64) / np.maximum(lengths, 1e-12)
    identities = np.array([item.identity for item in wanted])
    queries = [row for row, item in enumerate(wanted) if item.is_query is not False]
    found = np.flatnonzero([item.is_query is not True for item in wanted])
    ranked = []
    for row in queries:
        others = found[found != row]
        cosines = unit[others] @ unit[row]
        order = np.argsort(-cosines, kind="stable")
        matches = identities[others[order]] == identities[row]
        if matches.any():
            ranked.append((matches, cosines[order]))
    return ranked
