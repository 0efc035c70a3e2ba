"""Scores of vectors on sets that nothing was trained on."""

from __future__ import annotations

import numpy as np
import pytest

from omnivec2.training.evaluation.unseen.unseen_set import classes, grouped_classes, pairs, search

RNG = np.random.default_rng(0)


def _turned(cosines: np.ndarray) -> np.ndarray:
    """Return vectors in a plane, of many lengths, with these cosines with the first axis."""
    angles = np.arccos(cosines)
    lengths = RNG.uniform(0.1, 9.0, len(cosines))[:, None]
    return np.stack([np.cos(angles), np.sin(angles)], axis=1) * lengths


def test_pairs_are_scored_by_the_order_of_their_cosines() -> None:
    said = np.array([1.0, 2.0, 3.5, 4.0, 5.0])
    first = np.tile([[2.0, 0.0]], (5, 1))
    unseen = pairs("pairs", "abcde", "fghij", said)
    assert (unseen.samples, list(unseen.inputs)) == (5, list("abcdefghij"))
    in_order = _turned(np.array([-0.2, 0.1, 0.11, 0.8, 0.99]))
    assert unseen.score(np.concatenate([first, in_order])) == pytest.approx(1.0)
    assert unseen.score(np.concatenate([first, in_order[::-1]])) == pytest.approx(-1.0)


def test_a_search_is_scored_by_the_share_of_queries_whose_answer_is_the_nearest() -> None:
    unseen = search("questions", ["a", "b", "c"], ["A", "B", "C"])
    answers = np.eye(3) * 7.0
    assert unseen.score(np.concatenate([np.eye(3), answers])) == 1.0
    swapped = answers[[1, 0, 2]]
    assert unseen.score(np.concatenate([np.eye(3), swapped])) == pytest.approx(1 / 3)


def test_queries_get_the_class_of_most_of_the_nearest_known_inputs() -> None:
    labels = np.repeat([0, 1, 2], 10)
    vectors = np.eye(3)[labels] + RNG.normal(0, 0.05, (30, 3))
    known = np.arange(30) % 2 == 0
    unseen = classes("three", range(30), labels, known)
    assert unseen.samples == 15
    assert unseen.score(vectors) == 1.0
    assert unseen.score(RNG.normal(size=(30, 3))) < 0.8


def test_of_as_many_votes_those_for_the_nearest_count() -> None:
    labels = np.array([1, 0, 0, 1, 2, 0])
    cosines = np.array([0.99, 0.9, 0.8, 0.7, 0.6, 1.0])
    known = np.array([True] * 5 + [False])
    assert classes("tie", range(6), labels, known).score(_turned(cosines)) == 0.0
    assert classes("tie", range(6), 1 - labels, known).score(_turned(cosines)) == 0.0
    labels[-1] = 1
    assert classes("tie", range(6), labels, known).score(_turned(cosines)) == 1.0


def test_inputs_of_one_recording_are_never_compared() -> None:
    labels = np.repeat([0, 1], 6)
    recordings = np.repeat(np.arange(6), 2)
    vectors = np.repeat(RNG.normal(size=(6, 8)), 2, axis=0)
    assert grouped_classes("one", range(12), labels, np.arange(12)).score(vectors) >= 0.5
    alone = grouped_classes("apart", range(12), np.arange(12) // 2, recordings)
    assert alone.score(vectors) == 0.0
