"""Two fully connected layers on summaries, with settings that are chosen by validation.

The layers are then fitted once more to all labelled inputs, for the best number of steps:
several from different starts, whose mean is again two layers; or as a linear map.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from omnivec2.network.config import OWN_SUMMARIES, HeadConfig, Summary
from omnivec2.network.fc_head import TRUNK_SUMMARIES, WIDE_SUMMARIES, FullyConnectedHead
from omnivec2.preprocess import Array
from omnivec2.spec import TaskFamily
from omnivec2.training.adaptation.answer_forms import (
    AnswerForm,
    losses_of,
    mean_by_item,
    probabilities,
    right_shares,
)
from omnivec2.training.adaptation.fitting.batched_layers import BatchedLayers
from omnivec2.training.adaptation.fitting.frozen_summaries import joined
from omnivec2.training.adaptation.fitting.labelled_summaries import (
    Choice,
    LabelledSummaries,
    Trial,
    constants_of,
    scale_of,
)
from omnivec2.training.adaptation.fitting.linear_map import fit_linear_map
from omnivec2.training.adaptation.fitting.linear_trials import RAW
from omnivec2.training.adaptation.fitting.model_selection import MEMBERS, trials_of
from omnivec2.training.adaptation.fitting.score_calibration import fit_temperature, set_temperature
from omnivec2.training.adaptation.fitting.thread_limits import one_thread_per_fit
from omnivec2.training.evaluation.quality_metrics import METRICS

_PLAINEST = Choice(RAW, 1.0, class_weights=False, is_linear=True)
"""A regression on the input itself with the usual penalty."""


@dataclass(frozen=True)
class FittedLayers:
    """The fitted layers.

    Attributes:
        head: The head in evaluation mode.
        choice: The settings that it was fitted with.
        metric: The metric of the best choice on inputs that were not fitted to.
        predicted: The answers [items, outputs] to inputs that were validated on, in calibrated
            probabilities or in quantities; others NaN.
        temperature: The number that logits were divided by for calibrated probabilities.
        uncalibrated: The answers as they were before; the same for quantities.
        with_trunk: The best choice that looks at what the trunk makes of the inputs, and its
            metric likewise; None if no candidate does.
    """

    head: FullyConnectedHead
    choice: Choice
    metric: float
    predicted: Array
    temperature: float
    uncalibrated: Array
    with_trunk: tuple[Choice, float] | None

    @property
    def looks_at_trunk(self) -> bool:
        """Whether the head reads what the trunk makes of the inputs."""
        return looks_at_trunk(self.choice)


def looks_at_trunk(choice: Choice) -> bool:
    """Whether a choice has a summary of the trunk's output."""
    return bool(TRUNK_SUMMARIES & set(choice.summaries))


def fit(
    data: LabelledSummaries,
    *,
    family: TaskFamily,
    metric: str,
    hidden: int,
    seed: int,
    candidates: Sequence[tuple[Summary, ...]],
    seconds: float = 60.0,
    quantiles: Sequence[float] = (),
    members: int = MEMBERS,
    linear: bool = True,
    advance: Callable[[], None] = lambda: None,
) -> FittedLayers:
    """Choose by validation, then fit to everything.

    Args:
        data: The training part.
        family: The family of the head.
        metric: The metric that decides whether class weights help.
        hidden: The width between the layers, a multiple of ``members``.
        seed: The seed of the folds, the start and the order.
        candidates: The combinations of summaries to choose from.
        seconds: The nominal time that two layers may take beside the linear maps.
        quantiles: The levels of a forecast's quantiles.
        members: The number of starts that two layers are the mean of.
        linear: Whether linear maps are tried.
        advance: A callback after every candidate.
    """
    torch.manual_seed(seed)  # of dropout
    # Moments of layers that have converged become denormal numbers, a hundred times slower.
    torch.set_flush_denormal(True)
    with one_thread_per_fit():
        trials = trials_of(
            data, candidates, hidden=hidden // members, seconds=seconds, seed=seed, linear=linear,
            advance=advance,
        )  # fmt: skip
        chosen, value = _best(trials, data, metric)
        seeing = [trial for trial in trials if looks_at_trunk(trial.choice)]
        with_trunk = None
        if seeing:
            best_seeing, seeing_value = _best(seeing, data, metric)
            with_trunk = best_seeing.choice, seeing_value
        head = _fitted(data, chosen, family, hidden, members, seed, quantiles)
    temperature, predicted = 1.0, chosen.predicted
    if data.classes:
        temperature = fit_temperature(chosen.answers, data.labels, data.by_item)
        set_temperature(head, temperature)
        predicted = data.by_item(chosen.answers / temperature)
    return FittedLayers(
        head, chosen.choice, value, predicted, temperature, chosen.predicted, with_trunk
    )


def _best(trials: Sequence[Trial], data: LabelledSummaries, metric: str) -> tuple[Trial, float]:
    """Return the trial that validates best, and its metric."""
    # Losses with and without class weights are not comparable; the metric is.
    best = [
        min((t for t in trials if t.choice.class_weights == weighted), key=lambda t: t.loss)
        for weighted in sorted({t.choice.class_weights for t in trials})
    ]
    sign = 1.0 if METRICS[metric].higher_is_better else -1.0
    values = [sign * data.measure(metric, trial.predicted) for trial in best]
    number = int(np.argmax(values))
    chosen, value = best[number], values[number]
    plain = next((trial for trial in trials if trial.choice == _PLAINEST), None)
    if plain is not None and not chosen.choice.class_weights:
        plain_value = sign * data.measure(metric, plain.predicted)
        if plain_value >= value or not _is_ahead(chosen, plain, data):
            chosen, value = plain, plain_value
    return chosen, sign * value


def _is_ahead(chosen: Trial, plain: Trial, data: LabelledSummaries) -> bool:
    """Whether a trial is ahead of the plainest model by more than a standard error.

    Of classes and tags, both its loss and the number of right answers have to be. With few labels,
    the best of many trials is often ahead by luck alone.
    """
    known = np.isfinite(chosen.predicted[:, 0]) & np.isfinite(plain.predicted[:, 0])
    labels, scale = data.labels[known], scale_of(data.labels)
    answers = [trial.predicted[known] for trial in (plain, chosen)]
    losses = [losses_of(predicted, labels, scale) for predicted in answers]
    leads = [losses[0] - losses[1]]
    if data.classes:
        right = [right_shares(predicted, labels) for predicted in answers]
        leads.append(right[1] - right[0])
    return all(lead.mean() > lead.std() / np.sqrt(len(lead)) for lead in leads)


def _fitted(
    data: LabelledSummaries,
    trial: Trial,
    family: TaskFamily,
    hidden: int,
    members: int,
    seed: int,
    quantiles: Sequence[float],
) -> FullyConnectedHead:
    """Fit the chosen layers to everything."""
    choice = trial.choice
    x, y = data.standardised(choice.summaries)
    width = 2 * data.outputs if choice.is_linear else hidden // members * members
    head = _empty_head(data, choice, family, width, len(quantiles))
    standardise(head, torch.from_numpy(joined(data.summaries, choice.summaries)))
    if choice.is_linear:
        fit_linear_map(
            x.numpy(), y.numpy(), data.weights(False), choice.weight_decay, classes=data.classes
        ).set_into(head)
    else:
        _set_mean_of_members(head, data, choice, x, y, hidden // members, members, seed)
    if head.has_units:
        location, scale = data.target_scale()
        head.location.copy_(torch.from_numpy(location))
        head.scale.copy_(torch.from_numpy(scale))
    if head.has_quantiles:
        # What the steps behind other windows differed by from their forecast.
        errors = (data.labels - trial.predicted)[np.isfinite(trial.predicted[:, 0])]
        head.offsets.copy_(torch.from_numpy(np.quantile(errors, quantiles, axis=0)))
    return head.eval()


def _empty_head(
    data: LabelledSummaries, choice: Choice, family: TaskFamily, hidden: int, quantiles: int
) -> FullyConnectedHead:
    config = HeadConfig(
        family=family, tokenizer="", outputs=data.outputs, layers="fc",
        hidden=hidden, summaries=choice.summaries, quantiles=quantiles,
    )  # fmt: skip
    sizes = {name: data.summaries[name].shape[1] for name in choice.summaries}
    own = {str(name): sizes.pop(name) for name in OWN_SUMMARIES & sizes.keys()}
    wide = max((size for name, size in sizes.items() if name in WIDE_SUMMARIES), default=0)
    narrow = max((size for name, size in sizes.items() if name not in WIDE_SUMMARIES), default=0)
    head = FullyConnectedHead(config, narrow, wide, own)
    return head.requires_grad_(False)


def _set_mean_of_members(
    head: FullyConnectedHead, data: LabelledSummaries, choice: Choice, x: Tensor, y: Tensor,
    hidden: int, members: int, seed: int,
) -> None:  # fmt: skip
    """Fit several pairs of layers; their mean is again one pair."""
    weights = torch.from_numpy(data.weights(choice.class_weights)).expand(members, -1)
    layers = BatchedLayers(
        x, y, weights, [choice.weight_decay] * members,
        hidden=hidden, outputs=data.outputs, seed=seed, own_starts=True,
    )  # fmt: skip
    for _ in range(choice.steps):
        layers.step()
    first, first_bias, second, second_bias = layers.merged()
    head.first.weight.copy_(first)
    head.first.bias.copy_(first_bias)
    head.second.weight.copy_(second)
    head.second.bias.copy_(second_bias)


@torch.no_grad()
def standardise(head: FullyConnectedHead, summaries: Tensor) -> None:
    """Set the head's constants to those of some summaries."""
    mean, std = constants_of(summaries)
    head.mean.copy_(mean.half())
    head.mean_rest.copy_(mean - head.mean)
    head.std.copy_(std)


@torch.no_grad()
def answers_of(
    head: FullyConnectedHead,
    summaries: Tensor,
    item: Array,
    form: AnswerForm = AnswerForm.CLASS,
) -> tuple[Array, Array]:
    """Answer every input with the mean over its samples, as the service does.

    Args:
        head: The head.
        summaries: The summaries of all samples.
        item: The input that each sample belongs to.
        form: The form of the answer of a head that gives logits.

    Returns:
        The inputs, int64 [n], in order, and probabilities or values, float64 [n, outputs]; of a
        forecast, values in the deviation of each series.
    """
    outputs = head.answer(summaries)
    if head.has_units:
        return mean_by_item(outputs["values"].numpy(), item)
    return mean_by_item(probabilities(outputs["logits"].numpy(), form), item)


def state_of(head: nn.Module) -> dict[str, Array]:
    """Return the tensors of a module by name."""
    return {name: value.detach().numpy() for name, value in head.state_dict().items()}
