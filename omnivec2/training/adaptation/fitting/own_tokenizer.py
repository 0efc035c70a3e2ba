"""A tokenizer for a data set's own channels, bands or columns, trained with its head.

It starts from the weights of the base's tokenizer where both have something in common: channels
of the same name, bands in their order, positions in proportion. The trunk stays as it is;
gradients pass through it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnivec2.checkpoint import dequantise
from omnivec2.network.fc_head import FullyConnectedHead
from omnivec2.network.omnivec2 import OmniVec2, module_name
from omnivec2.preprocess import Array, Sample, collate
from omnivec2.training.adaptation.answer_forms import layer_losses, losses_of
from omnivec2.training.adaptation.fitting.fit_layers import standardise
from omnivec2.training.adaptation.fitting.frozen_summaries import trunk_seconds
from omnivec2.training.adaptation.fitting.labelled_summaries import scale_of
from omnivec2.training.adaptation.fitting.score_calibration import fit_temperature, set_temperature
from omnivec2.training.adaptation.frozen_network import Base
from omnivec2.training.adaptation.reading.prepared_rows import Prepared
from omnivec2.training.batches import as_tensors
from omnivec2.training.data.base import TaskData
from omnivec2.training.evaluation.quality_metrics import METRICS
from omnivec2.training.modalities import modality_training
from omnivec2.training.structure.fitted_constants import set_input_constants

_BATCH = 32
_RATE = 1e-3
_WARMUP_STEPS = 10
_DECAY = 0.05
_MEASUREMENTS = 8
"""Times that a training is measured on items it is not fitted to."""


def start_tokenizer(network: OmniVec2, base: Base, task: TaskData) -> None:
    """Set a fresh tokenizer's constants, and its weights where the base has a counterpart.

    Args:
        network: The network that holds the tokenizer, its only one.
        base: The base, which holds the modality's own tokenizer.
        task: The labelled samples.
    """
    (name,) = network.tokenizers
    tokenizer = network.tokenizers[name]
    set_input_constants(tokenizer, task)
    rules = modality_training(task.modality).adaptation
    if not rules.starts_from_base:
        return
    prefix = f"tokenizers.{base.tokenizer}."
    known = {
        key.removeprefix(prefix): torch.from_numpy(np.ascontiguousarray(array))
        for key, array in dequantise(base.part(prefix)).items()
    }
    own = dict(tokenizer.named_parameters())
    with torch.no_grad():
        for key in ("cls", "norm.weight", "norm.bias", "project.bias"):
            own[key].copy_(known[key])
        _copy_positions(own, known)
        rules.start_projection(own["project.weight"], known["project.weight"], base, task)


def _copy_positions(own: dict[str, nn.Parameter], known: dict[str, Tensor]) -> None:
    """Copy position tables, stretched to the new number of tokens."""
    for key, value in known.items():
        if key.startswith("positions."):
            stretched = F.interpolate(
                value.T[None], size=own[key].shape[0], mode="linear", align_corners=True
            )
            own[key].copy_(stretched[0].T)


@dataclass(frozen=True)
class TunedTokenizer:
    """A tokenizer that was trained together with its head.

    Attributes:
        network: The network with both in place, in evaluation mode.
        steps: The number of training steps.
        metric: The metric on the inputs of fold 0, when not fitted to them.
        loss: The loss per input, measured likewise.
        predicted: The answers to these inputs, in calibrated probabilities or in quantities.
        temperature: The number that logits were divided by for calibrated probabilities.
    """

    network: OmniVec2
    steps: int
    metric: float
    loss: float
    predicted: Array
    temperature: float


def tune(
    network: OmniVec2,
    route: str,
    data: Prepared,
    held: Array,
    *,
    classes: int,
    metric: str,
    steps: int,
    seed: int,
    advance: Callable[[int], None] = lambda _: None,
) -> TunedTokenizer:
    """Train tokenizer and head through the frozen trunk, twice.

    The first training, without the held-out items, finds the best number of steps; the second
    uses all items.

    Args:
        network: The network with the tokenizer at its start; it is not changed.
        route: The name of the head.
        data: The labelled samples.
        held: The items that the first training is measured on.
        classes: The number of classes or tags; 0 for quantities.
        metric: The metric that is reported.
        steps: The number of steps of the longest training.
        seed: The seed of the head's start and of the order.
        advance: A callback with the number of steps done since the last; ``2 x steps`` in all.
    """
    everything = np.arange(len(data.labels))
    first = _Tuning(network, route, data.take(np.setdiff1d(everything, held)), classes, steps, seed)
    held_out = data.take(held)
    best, best_step = _Measured(np.inf, float("nan"), np.empty(0)), 0
    for step in range(steps):
        first.step(step)
        advance(1)
        if (step + 1) % max(1, steps // _MEASUREMENTS) == 0:
            measured = first.measure(held_out, metric)
            if measured.loss < best.loss:
                best, best_step = measured, step + 1
    last = _Tuning(network, route, data, classes, steps, seed)
    for step in range(best_step):
        last.step(step)
        advance(1)
    advance(steps - best_step)
    temperature, predicted = 1.0, np.empty(0)
    if best_step:  # else no loss was finite
        if classes:
            temperature = fit_temperature(best.answers, held_out.labels, held_out.by_item)
            set_temperature(last.head, temperature)
        predicted = held_out.by_item(best.answers / temperature)
    return TunedTokenizer(
        last.network.eval(), best_step, best.value, best.loss, predicted, temperature
    )


def step_seconds(network: OmniVec2, route: str, sample: Sample) -> float:
    """Return the nominal time of two training steps, one of each training.

    Going back through the trunk, whose weights get no gradients, takes as long as going forward.
    """
    return 2 * 2 * _BATCH * trunk_seconds(network, route, sample)


@dataclass(frozen=True)
class _Measured:
    """Loss and metric per input, and the answers [samples, outputs] that they are of."""

    loss: float
    value: float
    answers: Array


class _Tuning:
    """One training of a tokenizer and a head; the trunk is shared, not copied."""

    def __init__(
        self, network: OmniVec2, route: str, data: Prepared, classes: int, steps: int, seed: int
    ) -> None:
        self.network = copy.copy(network)
        # Modules are registered in dicts: the copy needs dicts of its own.
        self.network._modules = dict(network._modules)
        self.network.tokenizers = copy.deepcopy(network.tokenizers)
        self.network.heads = copy.deepcopy(network.heads)
        self.route, self.data, self.classes = route, data, classes
        self.steps, self.seed = steps, seed
        rules = modality_training(network.config.modality_of(route)).adaptation
        self.augment = rules.augmentation(data.samples)
        self.per_item = 1.0 / np.bincount(data.item, minlength=len(data.labels))
        self.generator = np.random.default_rng((seed, 5))
        torch.manual_seed(seed)
        head = self.head
        for layer in (head.first, head.second):
            layer.reset_parameters()
        self.scale = scale_of(data.labels)
        if not classes:
            head.location.copy_(torch.from_numpy(data.labels.mean(axis=0)))
            head.scale.copy_(torch.from_numpy(self.scale))
        standardise(head, self._summaries(data))
        trained = (self.network.tokenizers, self.network.heads)
        self.parameters = [p for part in trained for p in part.requires_grad_(True).parameters()]
        self.optimiser = torch.optim.AdamW(self.parameters, lr=_RATE, weight_decay=_DECAY)

    @property
    def head(self) -> FullyConnectedHead:
        """The head that is trained."""
        head = self.network.heads[module_name(self.route)]
        assert isinstance(head, FullyConnectedHead)
        return head

    def step(self, number: int) -> None:
        """Train on one batch of inputs, a random sample of each."""
        for group in self.optimiser.param_groups:
            done = number / self.steps
            group["lr"] = _RATE * min(1.0, (number + 1) / _WARMUP_STEPS) * (1.0 - 0.9 * done)
        share = self.per_item[self.data.item] / self.per_item[self.data.item].sum()
        count = min(_BATCH, len(self.data.samples))
        rows = self.generator.choice(len(self.data.samples), count, replace=False, p=share)
        samples = [self.data.samples[row] for row in rows.tolist()]
        if self.augment is not None:
            samples = [self.augment(sample, None, self.generator)[0] for sample in samples]
        loss = self._losses(as_tensors(collate(samples)), self.data.labels[self.data.item[rows]])
        self.optimiser.zero_grad(set_to_none=True)
        loss.mean().backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.parameters, 5.0)
        self.optimiser.step()

    def _losses(self, inputs: dict[str, Tensor], labels: Array) -> Tensor:
        outputs = self.network(self.route, inputs)
        wanted = torch.from_numpy(labels)
        if self.classes:
            return layer_losses(outputs["logits"][None], wanted)[0]
        error: Tensor = (outputs["values"] - wanted) / self.head.scale
        return error.square().mean(dim=1)

    @torch.no_grad()
    def _summaries(self, data: Prepared) -> Tensor:
        summaries = []
        for start in range(0, len(data.samples), _BATCH):
            inputs = as_tensors(collate(data.samples[start : start + _BATCH]))
            features = self.network.trunk(self.network.tokenize(self.route, inputs))
            summaries.append(self.head.summarise(features))
        return torch.cat(summaries)

    @torch.no_grad()
    def measure(self, data: Prepared, metric: str) -> _Measured:
        """Measure the head on inputs that were not fitted to."""
        outputs = self.head.answer(self._summaries(data))
        answers = outputs["logits" if self.classes else "values"].numpy()
        predicted = data.by_item(answers)
        value = METRICS[metric].measure(predicted, data.labels)
        return _Measured(
            float(losses_of(predicted, data.labels, self.scale).mean()), value, answers
        )
