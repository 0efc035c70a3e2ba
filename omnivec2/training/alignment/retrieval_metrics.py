"""How well one modality finds another: recall at k, and classes told by their names alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict
from rich.table import Table

from omnivec2.preprocess import Array

RANKS = (1, 5, 10)


class Found(BaseModel):
    """Recall of one direction.

    Attributes:
        asked: modality of the queries.
        found: modality of what is searched.
        queries: how many.
        candidates: how many are searched.
        recall: k -> share of queries with one of the same class among the k nearest.
        chance: k -> the same of a random order.
    """

    model_config = ConfigDict(extra="forbid")

    asked: str
    found: str
    queries: int
    candidates: int
    recall: dict[int, float]
    chance: dict[int, float]


class ZeroShot(BaseModel):
    """Classes that the heads were not fitted to, told apart by their names.

    Attributes:
        modality: whose recordings.
        queries: how many.
        classes: names that are chosen from at a time.
        accuracy: share of right names.
        chance: of guessing.
    """

    model_config = ConfigDict(extra="forbid")

    modality: str
    queries: int
    classes: int
    accuracy: float
    chance: float


def recall(
    asked: tuple[str, Array, Array], found: tuple[str, Array, Array], ranks: Sequence[int] = RANKS
) -> Found:
    """Recall at k between two sets of (modality, vectors [n, d] of length 1, labels [n])."""
    (asked_name, queries, wanted), (found_name, candidates, labels) = asked, found
    order = np.argsort(-(queries @ candidates.T), axis=1, kind="stable")
    right = labels[order] == wanted[:, None]
    counts = (labels[None] == wanted[:, None]).sum(axis=1)
    used = [k for k in ranks if k <= len(labels)]
    return Found(
        asked=asked_name,
        found=found_name,
        queries=len(queries),
        candidates=len(labels),
        recall={k: float(right[:, :k].any(axis=1).mean()) for k in used},
        chance={k: float(np.mean([_by_chance(int(n), len(labels), k) for n in counts]))
                for k in used},
    )  # fmt: skip


def _by_chance(right: int, total: int, k: int) -> float:
    """Chance that one of ``right`` is among ``k`` drawn from ``total``."""
    missed = 1.0
    for drawn in range(k):
        missed *= max(0.0, (total - right - drawn) / (total - drawn))
    return 1.0 - missed


def named(modality: str, folds: Sequence[tuple[Array, Array, Array, Array]]) -> ZeroShot:
    """Accuracy of the nearest name.

    Args:
        modality: of the recordings.
        folds: (vectors [n, d], labels [n], vectors of the names [c, d], their labels [c]) of each
            choice of classes that were left out.
    """
    right = queries = 0
    for vectors, labels, names, classes in folds:
        guess = classes[np.argmax(vectors @ names.T, axis=1)]
        right += int((guess == labels).sum())
        queries += len(labels)
    count = round(float(np.mean([len(fold[3]) for fold in folds])))
    return ZeroShot(
        modality=modality, queries=queries, classes=count,
        accuracy=right / queries, chance=1.0 / count,
    )  # fmt: skip


def recall_table(title: str, rows: Sequence[Found]) -> Table:
    """For a terminal; chance in brackets."""
    table = Table(title=title)
    for column in ("asked with", "finds", "queries", "of", *(f"recall@{k}" for k in RANKS)):
        table.add_column(column)
    for row in rows:
        cells = [_cell(row.recall, row.chance, k) for k in RANKS]
        table.add_row(row.asked, row.found, f"{row.queries:,}", f"{row.candidates:,}", *cells)
    return table


def _cell(recalls: Mapping[int, float], chances: Mapping[int, float], k: int) -> str:
    return f"{recalls[k]:.3f} ({chances[k]:.3f})" if k in recalls else ""


def zero_shot_table(rows: Sequence[ZeroShot]) -> Table:
    """For a terminal."""
    table = Table(title="Actions the heads were not fitted to, by their names")
    for column in ("modality", "recordings", "names", "right", "by chance"):
        table.add_column(column)
    for row in rows:
        table.add_row(
            row.modality, f"{row.queries:,}", str(row.classes),
            f"{row.accuracy:.3f}", f"{row.chance:.3f}",
        )  # fmt: skip
    return table
