"""Metrics of retrieval across modalities: recall at k, and zero-shot classification by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict
from rich.table import Table

from omnivec2.preprocess import Array

RANKS = (1, 5, 10)
"""The k of recall at k."""


class RecallResult(BaseModel):
    """The recall of one direction between two modalities.

    Attributes:
        asked: The modality of the queries.
        found: The modality of the candidates.
        queries: The number of queries.
        candidates: The number of candidates.
        recall: The share of queries with a candidate of their class among the k nearest, by k.
        chance: The same for a random order, by k.
    """

    model_config = ConfigDict(extra="forbid")

    asked: str
    found: str
    queries: int
    candidates: int
    recall: dict[int, float]
    chance: dict[int, float]


class ZeroShotResult(BaseModel):
    """The accuracy on classes that the heads were not fitted to, classified by their names.

    Attributes:
        modality: The modality of the recordings.
        queries: The number of recordings.
        classes: The number of names to choose from at a time.
        accuracy: The share of correct names.
        chance: The accuracy of guessing.
    """

    model_config = ConfigDict(extra="forbid")

    modality: str
    queries: int
    classes: int
    accuracy: float
    chance: float


class ZeroShotFold(NamedTuple):
    """The vectors of recordings and names of one choice of classes that were left out.

    Attributes:
        vectors: The vectors of recordings, [n, d].
        labels: The classes of the recordings, [n].
        names: The vectors of the names, [c, d].
        classes: The classes of the names, [c].
    """

    vectors: Array
    labels: Array
    names: Array
    classes: Array


def measure_recall(
    queries: tuple[str, Array, Array],
    candidates: tuple[str, Array, Array],
    ranks: Sequence[int] = RANKS,
) -> RecallResult:
    """Measure recall at k between two sets.

    Args:
        queries: The modality, vectors [n, d] of length 1 and labels [n] of the queries.
        candidates: The modality, vectors and labels of the candidates.
        ranks: The k to measure; those above the number of candidates are left out.
    """
    query_modality, query_vectors, query_labels = queries
    candidate_modality, vectors, labels = candidates
    order = np.argsort(-(query_vectors @ vectors.T), axis=1, kind="stable")
    correct = labels[order] == query_labels[:, None]
    counts = (labels[None] == query_labels[:, None]).sum(axis=1)
    used = [k for k in ranks if k <= len(labels)]
    return RecallResult(
        asked=query_modality,
        found=candidate_modality,
        queries=len(query_labels),
        candidates=len(labels),
        recall={k: float(correct[:, :k].any(axis=1).mean()) for k in used},
        chance={k: float(np.mean([_chance_recall(int(n), len(labels), k) for n in counts]))
                for k in used},
    )  # fmt: skip


def _chance_recall(correct: int, total: int, k: int) -> float:
    """Return the probability that one of ``correct`` is among ``k`` drawn from ``total``."""
    miss = 1.0
    for drawn in range(k):
        miss *= max(0.0, (total - correct - drawn) / (total - drawn))
    return 1.0 - miss


def measure_zero_shot(modality: str, folds: Sequence[ZeroShotFold]) -> ZeroShotResult:
    """Measure the accuracy of the nearest name.

    Args:
        modality: The modality of the recordings.
        folds: The vectors of each choice of classes that were left out.
    """
    correct = queries = 0
    for fold in folds:
        predicted = fold.classes[np.argmax(fold.vectors @ fold.names.T, axis=1)]
        correct += int((predicted == fold.labels).sum())
        queries += len(fold.labels)
    count = round(float(np.mean([len(fold.classes) for fold in folds])))
    return ZeroShotResult(
        modality=modality, queries=queries, classes=count,
        accuracy=correct / queries, chance=1.0 / count,
    )  # fmt: skip


def recall_table(title: str, rows: Sequence[RecallResult]) -> Table:
    """Render recalls for a terminal, with chance in brackets."""
    table = Table(title=title)
    ranks = [f"recall@{k}" for k in RANKS]
    for column in ("queries from", "candidates from", "queries", "candidates", *ranks):
        table.add_column(column)
    for row in rows:
        cells = [_cell(row.recall, row.chance, k) for k in RANKS]
        table.add_row(row.asked, row.found, f"{row.queries:,}", f"{row.candidates:,}", *cells)
    return table


def _cell(recalls: Mapping[int, float], chances: Mapping[int, float], k: int) -> str:
    return f"{recalls[k]:.3f} ({chances[k]:.3f})" if k in recalls else ""


def zero_shot_table(rows: Sequence[ZeroShotResult]) -> Table:
    """Render zero-shot accuracies for a terminal."""
    table = Table(title="Zero-shot classification: actions the heads were not fitted to, by name")
    for column in ("modality", "recordings", "names", "accuracy", "chance"):
        table.add_column(column)
    for row in rows:
        table.add_row(
            row.modality, f"{row.queries:,}", str(row.classes),
            f"{row.accuracy:.3f}", f"{row.chance:.3f}",
        )  # fmt: skip
    return table
