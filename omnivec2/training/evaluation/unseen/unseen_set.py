"""A set of inputs for measuring an embedding, and how vectors are scored on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from omnivec2.preprocess import Array
from omnivec2.training.evaluation.resampling.sampled_figure import SampledFigure, mean_figure

NEIGHBOURS = 5
_SMALLEST_LENGTH = 1e-12

UNSEEN_SPLIT = "unseen"
"""The split of these figures in head specs."""


@dataclass(frozen=True)
class UnseenSet:
    """Inputs, and the score of their vectors.

    Attributes:
        name: The name of the set in tables.
        metric: The name of the score.
        inputs: The decoded inputs, as the modality's pre-processor takes them.
        samples: The number of pairs, questions or queries that the score is a mean over.
        figure: A function from the vectors of all inputs, [inputs, width], to the score.
        higher_is_better: Whether a higher score is better.
    """

    name: str
    metric: str
    inputs: Sequence[Any]
    samples: int
    figure: Callable[[Array], SampledFigure]
    higher_is_better: bool = True

    def score(self, vectors: Array) -> float:
        """Return the score of the vectors of all inputs, [inputs, width]."""
        return self.figure(vectors).value


def pairs(name: str, first: Sequence[Any], second: Sequence[Any], scores: Array) -> UnseenSet:
    """Return a set of pairs that people gave a score of likeness.

    The score is Spearman's correlation of the cosines with what people said.
    """

    def spearman(vectors: Array) -> SampledFigure:
        unit = of_length_one(vectors)
        cosines = (unit[: len(first)] * unit[len(first) :]).sum(axis=1)
        return SampledFigure(
            len(first), lambda rows: float(spearmanr(cosines[rows], scores[rows]).statistic)
        )

    return UnseenSet(name, "spearman", [*first, *second], len(first), spearman)


def search(name: str, queries: Sequence[Any], answers: Sequence[Any]) -> UnseenSet:
    """Return a set of queries, each with its answer at the same place.

    The score is the share of queries whose answer is the nearest of all answers.
    """

    def recall(vectors: Array) -> SampledFigure:
        unit = of_length_one(vectors)
        nearest = (unit[: len(queries)] @ unit[len(queries) :].T).argmax(axis=1)
        return mean_figure((nearest == np.arange(len(queries))).astype(np.float64))

    return UnseenSet(name, "recall@1", [*queries, *answers], len(queries), recall)


def classes(name: str, inputs: Sequence[Any], labels: Array, known: Array) -> UnseenSet:
    """Return a set of classes: queries get the class of the nearest known inputs.

    Args:
        name: The name of the set.
        inputs: The inputs.
        labels: The class of every input, int [inputs].
        known: A mask of the inputs whose class is known, bool [inputs]; the others are queries.
    """

    def accuracy(vectors: Array) -> SampledFigure:
        unit = of_length_one(vectors)
        voted = _vote(unit[~known] @ unit[known].T, labels[known])
        return mean_figure((voted == labels[~known]).astype(np.float64))

    queries = int((~known).sum())
    return UnseenSet(name, f"{NEIGHBOURS}-nn accuracy", inputs, queries, accuracy)


def grouped_classes(name: str, inputs: Sequence[Any], labels: Array, groups: Array) -> UnseenSet:
    """Return a set of classes too small to divide: every input is a query among the others.

    Args:
        name: The name of the set.
        inputs: The inputs.
        labels: The class of every input, int [inputs].
        groups: The recording that every input is from, int [inputs]; no input gets its class from
            another of its own recording.
    """

    def accuracy(vectors: Array) -> SampledFigure:
        unit = of_length_one(vectors)
        likeness = np.where(groups[:, None] == groups, -np.inf, unit @ unit.T)
        return mean_figure((_vote(likeness, labels) == labels).astype(np.float64))

    return UnseenSet(name, f"{NEIGHBOURS}-nn accuracy", inputs, len(labels), accuracy)


def quantities(name: str, inputs: Sequence[Any], values: Array, known: Array) -> UnseenSet:
    """Return a set of quantities: queries get the mean of the nearest known inputs.

    The score is the root mean squared error.

    Args:
        name: The name of the set.
        inputs: The inputs.
        values: The quantity of every input, float [inputs].
        known: A mask of the inputs whose quantity is known, bool [inputs]; the others are queries.
    """

    def error(vectors: Array) -> SampledFigure:
        unit = of_length_one(vectors)
        nearest = np.argsort(-(unit[~known] @ unit[known].T), axis=1, kind="stable")
        guessed = values[known][nearest[:, :NEIGHBOURS]].mean(axis=1)
        squares = np.square(guessed - values[~known])
        return SampledFigure(len(squares), lambda rows: float(np.sqrt(squares[rows].mean())))

    queries = int((~known).sum())
    return UnseenSet(name, f"{NEIGHBOURS}-nn rmse", inputs, queries, error, False)


def of_length_one(vectors: Array) -> Array:
    """Return vectors divided by their lengths."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, _SMALLEST_LENGTH))


def _vote(likeness: Array, labels: Array) -> Array:
    """Return the class that most of the nearest have; of equals that of the nearest."""
    nearest = np.argsort(-likeness, axis=1, kind="stable")[:, :NEIGHBOURS]
    votes = labels[nearest]
    counts = (votes[:, :, None] == votes[:, None, :]).sum(axis=2)
    return np.asarray(votes[np.arange(len(votes)), counts.argmax(axis=1)])
