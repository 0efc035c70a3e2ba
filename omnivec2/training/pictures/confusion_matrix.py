"""Confusion matrices: which classes are taken for which."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from omnivec2.preprocess import Array
from omnivec2.training.pictures.canvas import picture

MOST_CLASSES = 30
"""More cannot be read: those with the fewest errors are shown as one."""

OTHERS = "all others"
_CELL_INCHES, _LETTER_INCHES, _MARGIN_INCHES = 0.28, 0.055, 0.8
_LABEL_CHARACTERS = 40


def confusion(predicted: Array, wanted: Array, classes: int) -> Array:
    """Count how often each class (row) was answered with each (column), int [classes, classes]."""
    pairs = np.asarray(wanted, np.int64) * classes + np.asarray(predicted, np.int64)
    return np.bincount(pairs.ravel(), minlength=classes**2).reshape(classes, classes)


def readable(counts: Array, labels: Sequence[str]) -> tuple[Array, list[str]]:
    """Reduce to :data:`MOST_CLASSES` rows: the classes with most errors, the rest as one."""
    if len(labels) <= MOST_CLASSES:
        return counts, list(labels)
    errors = counts.sum(axis=0) + counts.sum(axis=1) - 2 * np.diagonal(counts)
    shown = np.sort(np.argsort(-errors, kind="stable")[: MOST_CLASSES - 1])
    groups = np.full(len(labels), len(shown))
    groups[shown] = np.arange(len(shown))
    pooled = np.zeros((MOST_CLASSES, MOST_CLASSES), dtype=counts.dtype)
    np.add.at(pooled, (groups[:, None], groups[None]), counts)
    return pooled, [*(labels[index] for index in shown), OTHERS]


def draw_confusion(path: Path, counts: Array, labels: Sequence[str]) -> None:
    """Draw the shares of every true class's samples; a row adds up to 100 %.

    Args:
        path: The PNG to write.
        counts: The counts, [classes, classes]; rows are the truth.
        labels: The names of the classes.
    """
    counts, labels = readable(counts, labels)
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(totals, 1)
    names = [textwrap.shorten(label, _LABEL_CHARACTERS, placeholder="…") for label in labels]
    letters = max(map(len, names)) * _LETTER_INCHES
    side = max(6, len(labels)) * _CELL_INCHES + letters + _MARGIN_INCHES
    with picture(path, 1, 1, (side, side)) as (_, (axes,)):
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        places = range(len(labels))
        axes.set_xticks(places, names, rotation=90)
        axes.set_yticks(places, [f"{n} ({t:,})" for n, t in zip(names, totals.flat, strict=True)])
        axes.set_xlabel("answered")
        axes.set_ylabel("truth (samples)")
        axes.set_title("% of each row")
        for row, column in np.argwhere(counts > 0):
            share = shares[row, column]
            colour = "white" if share > 0.5 else "black"
            text = f"{100 * share:.0f}"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=6)
