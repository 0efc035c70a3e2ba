"""Heads that are fitted to the vectors of a teacher."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from omnivec2.network.config import HeadConfig
from omnivec2.spec import TaskFamily
from omnivec2.training.distillation.distil_head import axes_of, distil, vectors_of
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
    distilled = distil(HEAD, summaries, taught, (4, WIDTH))
    assert distilled.likeness > 0.999
    found = distilled.head.answer(torch.from_numpy(summaries))["embedding"].numpy()
    np.testing.assert_allclose(found, taught, atol=0.05 * np.abs(taught).max())


def test_summaries_that_tell_nothing_give_no_likeness() -> None:
    rng = np.random.default_rng(1)
    summaries = rng.normal(size=(400, WIDTH)).astype(np.float32)
    taught = rng.normal(size=(400, OUTPUTS)).astype(np.float32)
    assert abs(distil(HEAD, summaries, taught, (4, WIDTH)).likeness) < 0.3


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


class Counting(Teacher):
    """A teacher whose vectors tell the length of a text and its first word."""

    source, is_centred = "counting", False

    def forward(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
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


def test_no_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="no samples"):
        vectors_of(Counting(), [])
