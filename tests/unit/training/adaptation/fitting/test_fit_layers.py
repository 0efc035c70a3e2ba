from __future__ import annotations

import numpy as np
import pytest
import torch

from omnivec2.network.config import HeadConfig
from omnivec2.network.fc_head import FullyConnectedHead
from omnivec2.network.layers import Tokens
from omnivec2.spec import TaskFamily
from omnivec2.training.adaptation.answer_forms import mean_by_item
from omnivec2.training.adaptation.fitting.batched_layers import BatchedLayers
from omnivec2.training.adaptation.fitting.fit_layers import answers_of, fit
from omnivec2.training.adaptation.fitting.labelled_summaries import LabelledSummaries
from omnivec2.training.adaptation.fitting.model_selection import choices

PLAIN = ("cls", "mean")


def labelled(
    labels: np.ndarray, x: np.ndarray, classes: int, windows: int = 1
) -> LabelledSummaries:
    item = np.repeat(np.arange(len(labels)), windows)
    rows = x[item].astype(np.float32)
    half = rows.shape[1] // 2
    return LabelledSummaries({"cls": rows[:, :half], "mean": rows[:, half:]}, item, labels, classes)


def fitted(data: LabelledSummaries, family: TaskFamily, metric: str, seed: int = 0):
    return fit(data, family=family, metric=metric, hidden=64, seed=seed, candidates=[PLAIN])


def rings(count: int = 120) -> tuple[np.ndarray, np.ndarray]:
    """Points in and around a circle: no line parts them."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 2
    angle = rng.uniform(0, 2 * np.pi, count)
    radius = np.where(labels, 3.0, 1.0) + rng.normal(0, 0.2, count)
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return np.concatenate([points, rng.normal(0, 0.1, (count, 2))], axis=1), labels


def test_two_layers_separate_classes_that_no_linear_map_does() -> None:
    x, labels = rings()
    found = fitted(labelled(labels[:80], x[:80], 2), TaskFamily.CLASSIFICATION, "accuracy")
    held = labelled(labels[80:], x[80:], 2)
    rows = torch.from_numpy(np.concatenate([held.summaries["cls"], held.summaries["mean"]], 1))
    _, answers = answers_of(found.head, rows, held.item)
    assert (answers.argmax(axis=1) == labels[80:]).mean() > 0.9
    assert found.metric > 0.8


def test_noise_is_not_fitted() -> None:
    rng = np.random.default_rng(1)
    labels = np.arange(100) % 2
    data = labelled(labels, rng.normal(size=(100, 40)), 2)
    found = fitted(data, TaskFamily.CLASSIFICATION, "accuracy")
    assert found.metric < 0.68
    assert np.isfinite(found.predicted).all()


def test_quantities_are_answered_in_their_own_units() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 4))
    values = (1000.0 + 50.0 * x[:, :1]).astype(np.float32)
    data = labelled(values, x, 0)
    found = fitted(data, TaskFamily.REGRESSION, "rmse")
    rows = torch.from_numpy(np.concatenate([data.summaries["cls"], data.summaries["mean"]], 1))
    _, answers = answers_of(found.head, rows, data.item)
    assert np.sqrt(np.square(answers - values).mean()) < 20.0
    assert found.metric < 40.0


def test_the_same_seed_gives_the_same_weights() -> None:
    x, labels = rings(40)
    data = labelled(labels, x, 2)
    one, two, other = (
        fitted(data, TaskFamily.CLASSIFICATION, "accuracy", seed).head for seed in (0, 0, 1)
    )
    assert torch.equal(one.first.weight, two.first.weight)
    assert not torch.equal(one.first.weight, other.first.weight)


def test_class_weights_are_tried_only_where_classes_are_unbalanced() -> None:
    x = np.zeros((40, 4))
    even = labelled(np.arange(40) % 2, x, 2)
    uneven = labelled((np.arange(40) > 30).astype(np.int64), x, 2)
    assert {choice.class_weights for choice in choices(even, PLAIN)} == {False}
    assert {choice.class_weights for choice in choices(uneven, PLAIN)} == {False, True}
    weights = uneven.weights(True)
    assert weights[uneven.labels == 0].sum() == pytest.approx(weights[uneven.labels == 1].sum())


def test_an_input_counts_once_however_many_windows_it_has() -> None:
    item = np.array([0, 0, 0, 1])
    data = LabelledSummaries({"cls": np.zeros((4, 2), np.float32)}, item, np.array([0, 1]), 2)
    weights = data.weights(False)
    assert weights[:3].sum() == pytest.approx(weights[3])
    items, means = mean_by_item(np.array([[1.0], [2.0], [3.0], [9.0]]), item)
    assert (items.tolist(), means.tolist()) == ([0, 1], [[2.0], [9.0]])


def test_merged_layers_answer_the_mean_of_their_members() -> None:
    x, y = torch.randn(8, 6), torch.arange(8) % 3
    layers = BatchedLayers(
        x, y, torch.ones(4, 8), [0.1] * 4, hidden=5, outputs=3, seed=0, own_starts=True
    )
    layers.step()
    config = HeadConfig(
        family=TaskFamily.CLASSIFICATION, tokenizer="", outputs=3, layers="fc", hidden=20
    )
    head = FullyConnectedHead(config, 3).requires_grad_(False)
    for parameter, value in zip(
        (head.first.weight, head.first.bias, head.second.weight, head.second.bias),
        layers.merged(),
        strict=True,
    ):
        parameter.copy_(value)
    mean = layers.answers(x).mean(dim=0)
    assert torch.allclose(head.layers(x), mean, atol=1e-5)


def test_a_sample_of_no_weight_changes_nothing() -> None:
    x, y = torch.randn(6, 4), torch.arange(6) % 2
    weights = torch.tensor([[1.0, 1, 1, 1, 0, 0]])
    torch.manual_seed(0)
    one = BatchedLayers(x, y, weights, [0.1], hidden=4, outputs=2, seed=0)
    one.step()
    torch.manual_seed(0)
    other = torch.cat([y[:4], 1 - y[4:]])
    changed = BatchedLayers(x, other, weights, [0.1], hidden=4, outputs=2, seed=0)
    changed.step()
    assert torch.equal(one.first_KDH, changed.first_KDH)


@pytest.mark.parametrize("summaries", [("cls",), ("mean",), ("sum",), ("cls", "mean", "sum")])
def test_padding_changes_no_summary(summaries: tuple[str, ...]) -> None:
    config = HeadConfig.model_validate(
        {"family": "classification", "tokenizer": "", "outputs": 2, "layers": "fc", "hidden": 4,
         "summaries": summaries}
    )  # fmt: skip
    head = FullyConnectedHead(config, 3)
    tokens = torch.randn(2, 5, 3)
    padded = torch.cat([tokens, torch.full((2, 4, 3), 7.0)], dim=1)
    mask = torch.arange(9).expand(2, 9) < 5
    plain = head(Tokens(tokens))["logits"]
    assert torch.allclose(plain, head(Tokens(padded, mask))["logits"], atol=1e-6)


def test_two_layers_refuse_families_they_cannot_answer() -> None:
    config = HeadConfig(family=TaskFamily.DETECTION, tokenizer="", outputs=2, layers="fc", hidden=4)
    with pytest.raises(ValueError, match="detection"):
        FullyConnectedHead(config, 3)
