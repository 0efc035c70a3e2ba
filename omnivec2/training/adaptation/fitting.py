"""Two fully connected layers on summaries: what to fit them with is chosen by validation.

Labels are few, so every one of them is validated on: with under 2,000 inputs in five folds,
else one share is held out. The layers are then fitted once more to all labelled inputs, for
as many steps as were best: several from different starts, whose mean is again two layers.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from omnivec2.network.config import HeadConfig, Summary
from omnivec2.network.fc_head import TOKEN_SUMMARIES, FullyConnectedHead
from omnivec2.preprocess import Array
from omnivec2.spec import TaskFamily
from omnivec2.training.adaptation.layers import Layers
from omnivec2.training.adaptation.reading import folds_of
from omnivec2.training.adaptation.straight import fit_straight, validated
from omnivec2.training.adaptation.summaries import Summaries, joined
from omnivec2.training.metrics import METRICS

FOLDS = 5
MEMBERS = 4
"""Starts that the written layers are the mean of."""

_ALL_FOLDS_BELOW = 2000
_DECAYS = (0.1, 1.5, 15.0)
_STEPS = 300
_STEPS_OF_MANY = 1000
_MEASURED_EVERY = 5
_PATIENCE = 60
"""Steps without improvement of every choice after which training stops."""

_UNBALANCED = 1.5
"""From this ratio of the largest to the smallest class on, class weights are tried."""


@dataclass(frozen=True)
class Choice:
    """What the layers are fitted with."""

    summaries: tuple[Summary, ...]
    weight_decay: float
    class_weights: bool
    steps: int = 0
    straight: bool = False
    """A linear map, whose penalty ``weight_decay`` is."""


@dataclass(frozen=True)
class Labelled:
    """Summaries of labelled inputs.

    Attributes:
        summaries: of every sample.
        item: int64 [samples], the input each belongs to.
        labels: int64 [items] classes or float32 [items, targets].
        classes: how many; 0 for quantities.
    """

    summaries: Summaries
    item: Array
    labels: Array
    classes: int

    @property
    def strata(self) -> Array:
        """What folds are balanced by."""
        return self.labels if self.classes else np.zeros(len(self.labels), dtype=np.int64)

    @property
    def outputs(self) -> int:
        """Classes or quantities."""
        return self.classes or int(self.labels.shape[1])

    def weights(self, class_weights: bool) -> Array:
        """float32 [samples]: an input counts once however many samples it has; a class too."""
        weights = 1.0 / np.bincount(self.item, minlength=len(self.labels))[self.item]
        if class_weights:
            classes = self.labels[self.item]
            weights = weights / np.bincount(classes, weights)[classes]
        return np.asarray(weights / weights.mean(), dtype=np.float32)


@dataclass(frozen=True)
class Fit:
    """The fitted layers.

    Attributes:
        head: in evaluation mode.
        choice: what they were fitted with.
        metric: value on inputs that were not fitted to, of the best choice.
        predicted: [items, outputs] of the inputs that were validated on; others NaN.
    """

    head: FullyConnectedHead
    choice: Choice
    metric: float
    predicted: Array


@dataclass(frozen=True)
class _Trial:
    """A choice at its best step: loss and answers on inputs that were not fitted to."""

    choice: Choice
    loss: float
    predicted: Array


def fit(
    data: Labelled,
    *,
    family: TaskFamily,
    metric: str,
    hidden: int,
    seed: int,
    candidates: Sequence[tuple[Summary, ...]],
    advance: Callable[[], None] = lambda: None,
) -> Fit:
    """Choose by validation, then fit to everything.

    Args:
        data: the training part.
        family: of the head.
        metric: decides whether class weights help.
        hidden: width between the layers, a multiple of ``MEMBERS``.
        seed: of the folds, the start and the order.
        candidates: combinations of summaries to choose from.
        advance: called once per candidate.
    """
    torch.manual_seed(seed)  # of dropout
    # Moments of layers that have settled become denormal numbers, a hundred times slower.
    torch.set_flush_denormal(True)
    trials: list[_Trial] = []
    for names in candidates:
        trials += _Validation(data, names, hidden // MEMBERS, seed).run()
        if len(data.item) < _ALL_FOLDS_BELOW and 2 * data.outputs <= hidden:
            trials += _straight_trials(data, names, seed)
        advance()
    # Losses with and without class weights are not comparable; the metric is.
    best = [
        min((t for t in trials if t.choice.class_weights == weighted), key=lambda t: t.loss)
        for weighted in sorted({t.choice.class_weights for t in trials})
    ]
    sign = 1.0 if METRICS[metric].higher_is_better else -1.0
    values = [_value(trial.predicted, data.labels, metric) for trial in best]
    number = int(np.argmax([sign * value for value in values]))
    chosen = best[number]
    head = _fitted(data, chosen.choice, family, hidden, seed)
    return Fit(head, chosen.choice, values[number], chosen.predicted)


def _value(predicted: Array, labels: Array, metric: str) -> float:
    known = np.isfinite(predicted[:, 0])
    return METRICS[metric].measure(predicted[known], labels[known])


def choices(data: Labelled, names: tuple[Summary, ...]) -> list[Choice]:
    """Everything that is tried with some summaries."""
    counts = np.bincount(data.labels, minlength=data.classes) if data.classes else np.ones(1)
    unbalanced = counts.max() > _UNBALANCED * max(1, counts.min())
    weighted = (False, True) if unbalanced else (False,)
    return [Choice(names, *parts) for parts in itertools.product(_DECAYS, weighted)]


class _Validation:
    """All choices in all folds, trained side by side."""

    def __init__(self, data: Labelled, names: tuple[Summary, ...], hidden: int, seed: int) -> None:
        self.data = data
        self.choices = choices(data, names)
        folds = folds_of(data.strata, FOLDS, seed=seed)[data.item]
        self.used = range(FOLDS if len(data.labels) < _ALL_FOLDS_BELOW else 1)
        many = len(data.item) > _ALL_FOLDS_BELOW
        self.longest = _STEPS_OF_MANY if many else _STEPS
        plain = torch.from_numpy(data.weights(False))
        held = [torch.from_numpy(folds == fold) for fold in self.used]
        self.held_KS = torch.stack([h * plain for _ in self.choices for h in held])
        fitted = torch.stack(
            [
                torch.from_numpy(data.weights(choice.class_weights)) * ~h
                for choice in self.choices
                for h in held
            ]
        )
        x, y = _standardised(data, names)
        self.layers = Layers(
            x, y, fitted, [c.weight_decay for c in self.choices for _ in held],
            hidden=hidden, outputs=data.outputs, seed=seed,
        )  # fmt: skip
        self.scale = _target_scale(data)

    def run(self) -> list[_Trial]:
        """Every choice with the number of steps after which its folds' mean loss was least."""
        best = [_Trial(choice, np.inf, np.empty((0, 0))) for choice in self.choices]
        improved = 0
        for step in range(1, self.longest + 1):
            self.layers.step()
            if step % _MEASURED_EVERY:
                continue
            losses, answers = self._measure()
            for index, trial in enumerate(best):
                if losses[index] < trial.loss - 1e-6:
                    improved = step
                    choice = replace(trial.choice, steps=step)
                    best[index] = _Trial(choice, losses[index], self._predicted(answers, index))
            if step - improved > _PATIENCE:
                break
        return best

    @torch.no_grad()
    def _measure(self) -> tuple[list[float], Tensor]:
        """Mean loss of each choice on what its folds were not fitted to; all answers."""
        answers = self.layers.answers(self.layers.x_SD)
        weighted = Layers.losses(answers, self.layers.y_S) * self.held_KS
        shape = (len(self.choices), -1)
        total = weighted.sum(1).reshape(shape).sum(1) / self.held_KS.sum(1).reshape(shape).sum(1)
        return total.tolist(), answers

    def _predicted(self, answers: Tensor, index: int) -> Array:
        """[items, outputs]: each item's answer by the model that was not fitted to it."""
        predicted = np.full((len(self.data.labels), self.data.outputs), np.nan)
        folds = len(self.used)
        for number in range(index * folds, (index + 1) * folds):
            rows = torch.nonzero(self.held_KS[number])[:, 0]
            found = answers[number, rows]
            if self.data.classes:
                found = found.softmax(dim=1)
            items, means = mean_by_item(found.numpy(), self.data.item[rows.numpy()])
            location, scale = self.scale
            predicted[items] = means if self.data.classes else means * scale + location
        return predicted


def _straight_trials(data: Labelled, names: tuple[Summary, ...], seed: int) -> list[_Trial]:
    """Linear maps with every penalty, validated in the same folds."""
    x, y = _standardised(data, names)
    weights = data.weights(False)
    number = folds_of(data.strata, FOLDS, seed=seed)[data.item]
    held = [number == fold for fold in range(FOLDS)]
    location, scale = _target_scale(data)
    trials = []
    found = validated(x.numpy(), y.numpy(), weights, held, classes=data.classes)
    for penalty, answers in found:
        given = torch.from_numpy(answers)
        losses = Layers.losses(given[None].float(), y.float() if not data.classes else y)[0]
        loss = float((losses * torch.from_numpy(weights)).mean())
        values = given.softmax(dim=1).numpy() if data.classes else answers * scale + location
        predicted = np.full((len(data.labels), data.outputs), np.nan)
        items, means = mean_by_item(values, data.item)
        predicted[items] = means
        choice = Choice(names, penalty, class_weights=False, straight=True)
        trials.append(_Trial(choice, loss, predicted))
    return trials


def _target_scale(data: Labelled) -> tuple[Array, Array]:
    """Mean and deviation of quantities; 0 and 1 for classes."""
    if data.classes:
        return np.zeros(data.classes, np.float32), np.ones(data.classes, np.float32)
    return data.labels.mean(axis=0), np.maximum(data.labels.std(axis=0), 1e-6)


def _standardised(data: Labelled, names: tuple[Summary, ...]) -> tuple[Tensor, Tensor]:
    """Summaries and targets of all samples in standard units."""
    x = torch.from_numpy(joined(data.summaries, names))
    mean, std = constants_of(x)
    labels = data.labels[data.item]
    if data.classes:
        return (x - mean) / std, torch.from_numpy(labels)
    location, scale = _target_scale(data)
    return (x - mean) / std, torch.from_numpy((labels - location) / scale)


def _fitted(
    data: Labelled, choice: Choice, family: TaskFamily, hidden: int, seed: int
) -> FullyConnectedHead:
    """The layers that were chosen, fitted to everything."""
    x, y = _standardised(data, choice.summaries)
    width = 2 * data.outputs if choice.straight else hidden // MEMBERS * MEMBERS
    head = _empty_head(data, choice, family, width)
    standardise(head, torch.from_numpy(joined(data.summaries, choice.summaries)))
    if choice.straight:
        fit_straight(
            x.numpy(), y.numpy(), data.weights(False), choice.weight_decay, classes=data.classes
        ).set_into(head)
    else:
        _set_mean_of_members(head, data, choice, x, y, hidden // MEMBERS, seed)
    if head.is_regression:
        location, scale = _target_scale(data)
        head.location.copy_(torch.from_numpy(location))
        head.scale.copy_(torch.from_numpy(scale))
    return head.eval()


def _empty_head(
    data: Labelled, choice: Choice, family: TaskFamily, hidden: int
) -> FullyConnectedHead:
    config = HeadConfig(
        family=family, tokenizer="", outputs=data.outputs, layers="fc",
        hidden=hidden, summaries=choice.summaries,
    )  # fmt: skip
    widths = {name in TOKEN_SUMMARIES: data.summaries[name].shape[1] for name in choice.summaries}
    head = FullyConnectedHead(config, widths.get(False, 0), widths.get(True, 0))
    return head.requires_grad_(False)


def _set_mean_of_members(
    head: FullyConnectedHead, data: Labelled, choice: Choice, x: Tensor, y: Tensor,
    hidden: int, seed: int,
) -> None:  # fmt: skip
    """Fit several pairs of layers; their mean is again one pair."""
    weights = torch.from_numpy(data.weights(choice.class_weights)).expand(MEMBERS, -1)
    layers = Layers(
        x, y, weights, [choice.weight_decay] * MEMBERS,
        hidden=hidden, outputs=data.outputs, seed=seed, apart=True,
    )  # fmt: skip
    for _ in range(choice.steps):
        layers.step()
    first, first_bias, second, second_bias = layers.merged()
    head.first.weight.copy_(first)
    head.first.bias.copy_(first_bias)
    head.second.weight.copy_(second)
    head.second.bias.copy_(second_bias)


def constants_of(summaries: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of summaries (S, D), the latter kept away from 0.

    What varies by less than a thousandth of its size is mostly rounding, which differs from
    one engine to the next, and must not be blown up.
    """
    mean, deviation = summaries.mean(dim=0), summaries.std(dim=0, unbiased=False)
    size = max(float(deviation.max()), float(mean.square().mean().sqrt()))
    return mean, deviation.clamp(min=1e-3 * size + 1e-6)


@torch.no_grad()
def standardise(head: FullyConnectedHead, summaries: Tensor) -> None:
    """Set the head's constants to those of some summaries."""
    mean, std = constants_of(summaries)
    head.mean.copy_(mean.half())
    head.mean_rest.copy_(mean - head.mean)
    head.std.copy_(std)


@torch.no_grad()
def answers_of(head: FullyConnectedHead, summaries: Tensor, item: Array) -> tuple[Array, Array]:
    """Which inputs, and the answer to each: as the service does, the mean over its samples.

    Returns:
        items int64 [n] in their order, and probabilities or values float64 [n, outputs].
    """
    outputs = head.answer(summaries)
    found = outputs["values"] if head.is_regression else outputs["logits"].softmax(dim=1)
    return mean_by_item(found.numpy(), item)


def mean_by_item(values: Array, item: Array) -> tuple[Array, Array]:
    """Mean of the rows of each item: items in their order, and float64 [items, ...]."""
    items, number, counts = np.unique(item, return_inverse=True, return_counts=True)
    total = np.zeros((len(items), values.shape[1]))
    np.add.at(total, number, values)
    return items, total / counts[:, None]


def state_of(head: nn.Module) -> dict[str, Array]:
    """Its tensors by name."""
    return {name: value.detach().numpy() for name, value in head.state_dict().items()}
