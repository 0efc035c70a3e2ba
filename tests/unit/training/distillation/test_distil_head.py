"""Heads that are fitted to the vectors of a teacher."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from omnivec2.network.config import HeadConfig, Summary
from omnivec2.preprocess import Array
from omnivec2.spec import TaskFamily
from omnivec2.training.distillation.distil_head import (
    KeptSummary,
    axes_of,
    distil,
    kept_vectors,
    vectors_of,
)
from omnivec2.training.distillation.teachers import Teacher

WIDTH, OUTPUTS = 12, 5
HEAD = HeadConfig(
    family=TaskFamily.EMBEDDING, tokenizer="text", layers="fc",
    outputs=OUTPUTS, hidden=2 * OUTPUTS, summaries=("f_mean",),
)  # fmt: skip


def test_a_head_learns_a_linear_map_from_summaries_to_vectors() -> None:
    rng = np.random.default_rng(0)
    summaries = rng.normal(3.0, 2.0, (400, WIDTH)).astype(np.float32)
    taught = (summaries - 3.0) @ rng.normal(size=(WIDTH, OUTPUTS)).astype(np.float32)
    distilled = distil(HEAD, {"f_mean": summaries}, taught, (4, WIDTH))
    assert distilled.likeness > 0.999
    found = distilled.head.answer(torch.from_numpy(summaries))["embedding"].numpy()
    np.testing.assert_allclose(found, taught, atol=0.05 * np.abs(taught).max())


def test_summaries_that_tell_nothing_give_no_likeness() -> None:
    rng = np.random.default_rng(1)
    summaries = rng.normal(size=(400, WIDTH)).astype(np.float32)
    taught = rng.normal(size=(400, OUTPUTS)).astype(np.float32)
    assert abs(distil(HEAD, {"f_mean": summaries}, taught, (4, WIDTH)).likeness) < 0.3


def test_a_head_keeps_differences_of_a_summary_that_its_teacher_does_not_see() -> None:
    rng = np.random.default_rng(4)
    own, seen = (rng.normal(1.0, 0.5, (600, WIDTH)).astype(np.float32) for _ in range(2))
    # The summary that is kept varies most on an axis that the teacher knows nothing of.
    own[:, 0] *= 4.0
    taught = (seen - 1.0) @ rng.normal(size=(WIDTH, 2)).astype(np.float32)
    config = HEAD.model_copy(update={"summaries": ("f_input_mean", "f_mean")})
    summaries: dict[Summary, Array] = {"f_input_mean": own, "f_mean": seen}

    def answers(*kept: KeptSummary) -> Array:
        head = distil(config, summaries, _padded(taught), (4, WIDTH), kept).head
        both = torch.from_numpy(np.concatenate([own, seen], axis=1))
        return np.asarray(head.answer(both)["embedding"].numpy(), dtype=np.float64)

    axis = own[:, 0] - own[:, 0].mean()
    assert _explained(axis, answers()) < 0.1
    kept = answers(KeptSummary("f_input_mean", weight=0.5, axes=1, evenness=1.0))
    assert _explained(axis, kept) > 0.95
    # What it was taught is there, too, with the mean length 1 where the other part has 0.5.
    assert min(_explained(column, kept) for column in taught.T) > 0.95
    np.testing.assert_allclose((kept**2).sum(axis=1).mean(), 1.25 + 0.25, atol=0.35)


def test_kept_axes_that_are_evened_out_do_not_depend_on_the_scale_of_a_summary() -> None:
    rng = np.random.default_rng(5)
    own, seen = (rng.normal(size=(400, WIDTH)).astype(np.float32) for _ in range(2))
    config = HEAD.model_copy(update={"summaries": ("f_input_mean", "f_mean")})
    kept = KeptSummary("f_input_mean", weight=0.7, axes=2, evenness=1.0)
    cosines = []
    for scale in (1.0, 30.0):
        summaries: dict[Summary, Array] = {
            "f_input_mean": own * np.float32(scale),
            "f_mean": seen,
        }
        head = distil(config, summaries, _padded(seen[:, :2]), (4, WIDTH), (kept,)).head
        both = torch.from_numpy(np.concatenate([summaries["f_input_mean"], seen], axis=1))
        vectors = head.answer(both)["embedding"].numpy()
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        cosines.append(unit @ unit.T)
    np.testing.assert_allclose(cosines[0], cosines[1], atol=0.02)


def _padded(taught: Array) -> Array:
    """Return two columns as the head's outputs, the others 0."""
    return np.pad(taught, [(0, 0), (0, OUTPUTS - taught.shape[1])])


def _explained(values: Array, vectors: Array) -> float:
    """Return the share of the variance of values that a linear map of vectors explains."""
    centred = vectors - vectors.mean(axis=0)
    values = values - values.mean()
    found = centred @ np.linalg.lstsq(centred, values, rcond=None)[0]
    return float(1 - np.square(values - found).mean() / np.square(values).mean())


@pytest.mark.parametrize("is_centred", [True, False])
def test_the_first_axes_keep_most_of_the_vectors(is_centred: bool) -> None:
    rng = np.random.default_rng(2)
    spread = np.array([5.0, 3.0, 1.0, 0.1, 0.01])
    turned = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    vectors = (rng.normal(size=(500, 5)) * spread) @ turned + 2.0 * is_centred
    mean, axes = axes_of(vectors, 4, is_centred=is_centred)
    assert axes.shape == (4, 5)
    found = ((vectors - mean) @ axes.T).std(axis=0)
    np.testing.assert_allclose(found, spread[:4], rtol=0.15)
    assert (mean == 0).all() == (not is_centred)


def test_axes_differ_equally_if_they_are_evened_out() -> None:
    rng = np.random.default_rng(3)
    turned = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    vectors = (rng.normal(size=(800, 4)) * np.array([16.0, 4.0, 1.0, 0.25])) @ turned
    for evenness, ratio in ((0.0, 4.0), (0.5, 2.0), (1.0, 1.0)):
        mean, axes = axes_of(vectors, 4, is_centred=True, evenness=evenness)
        spread = ((vectors - mean) @ axes.T).std(axis=0)
        np.testing.assert_allclose(spread[:-1] / spread[1:], ratio, rtol=0.15)


class Counting(Teacher):
    """A teacher whose vectors tell the length of a text and its first word."""

    source, is_centred = "counting", False

    def forward(self, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        words = inputs["input_ids"].float()
        return torch.stack([inputs["attention_mask"].sum(dim=1).float(), words[:, 0]], dim=1)


def test_vectors_are_of_length_one_and_in_the_order_of_the_samples() -> None:
    samples = [
        {"input_ids": np.full(n, 2, np.int32), "attention_mask": np.ones(n, np.int32)}
        for n in [5, 1, *range(2, 60)]
    ]
    vectors = vectors_of(Counting(), samples)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, rtol=1e-6)
    lengths = [len(sample["input_ids"]) for sample in samples]
    np.testing.assert_allclose(vectors[:, 0] / vectors[:, 1] * 2, lengths, rtol=1e-5)


def test_vectors_are_computed_once_per_teacher_and_samples(tmp_path: Path) -> None:
    samples = [
        {"input_ids": np.full(n, 2, np.int32), "attention_mask": np.ones(n, np.int32)}
        for n in range(1, 40)
    ]
    first = kept_vectors(Counting(), samples, tmp_path)

    class Broken(Counting):
        def forward(self, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
            raise AssertionError("it was asked again")

    done: list[int] = []
    np.testing.assert_array_equal(kept_vectors(Broken(), samples, tmp_path, done.append), first)
    assert sum(done) == len(samples)
    with pytest.raises(AssertionError, match="asked again"):
        kept_vectors(Broken(), samples[1:], tmp_path)


def test_no_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="no samples"):
        vectors_of(Counting(), [])
