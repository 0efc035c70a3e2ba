"""A tokenizer for a data set's own channels, bands or columns, trained with its head.

It starts from the base's where they have something in common: channels of the same name,
bands in their order, positions in proportion. The trunk stays as it is; gradients pass
through it.
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
from omnivec2.network.config import ImuTokenizerConfig
from omnivec2.network.fc_head import FullyConnectedHead
from omnivec2.network.omnivec2 import OmniVec2, module_name
from omnivec2.preprocess import Array, collate
from omnivec2.spec import Modality
from omnivec2.training.adaptation.fitting.fit_layers import answers_of, standardise
from omnivec2.training.adaptation.frozen_network import Base
from omnivec2.training.adaptation.reading.prepared_rows import Prepared
from omnivec2.training.batches import as_tensors
from omnivec2.training.data import augmentation
from omnivec2.training.data.base import Augment, TaskData
from omnivec2.training.evaluation.quality_metrics import METRICS
from omnivec2.training.structure.fitted_constants import input_constants

_BATCH = 32
_RATE = 1e-3
_WARMUP_STEPS = 10
_DECAY = 0.05
_MEASURED = 8
"""How many times a training is measured on what it is not fitted to."""

_AXES = 3
"""Channels of a motion sensor come in threes, which a small rotation of it mixes."""


def start_tokenizer(
    network: OmniVec2, base: Base, task: TaskData, channels: list[str], known: list[str]
) -> None:
    """Set a fresh tokenizer's constants, and its weights where the base has a counterpart.

    Args:
        network: holds the tokenizer, under the name of the task.
        base: holds the modality's own.
        task: the labelled samples.
        channels: names of the new channels (IMU).
        known: names of the base's channels (IMU).
    """
    (name,) = network.tokenizers
    tokenizer = network.tokenizers[name]
    buffers = dict(tokenizer.named_buffers())
    for key, value in input_constants(task).items():
        buffers[key].copy_(torch.as_tensor(value))
    if task.modality is Modality.TABULAR:
        return
    prefix = f"tokenizers.{base.tokenizer}."
    theirs = {
        key.removeprefix(prefix): torch.from_numpy(np.ascontiguousarray(array))
        for key, array in dequantise(base.part(prefix)).items()
    }
    own = dict(tokenizer.named_parameters())
    with torch.no_grad():
        for key in ("cls", "norm.weight", "norm.bias", "project.bias"):
            own[key].copy_(theirs[key])
        _copy_positions(own, theirs)
        if task.modality is Modality.IMU:
            config = base.config.tokenizers[base.tokenizer]
            assert isinstance(config, ImuTokenizerConfig)
            _copy_channels(own["project.weight"], theirs["project.weight"],
                           config.patch, channels, known)  # fmt: skip
        elif own["project.weight"].shape == theirs["project.weight"].shape:
            own["project.weight"].copy_(theirs["project.weight"])


def _copy_positions(own: dict[str, nn.Parameter], theirs: dict[str, Tensor]) -> None:
    """Position tables, stretched to the new number of tokens."""
    for key, value in theirs.items():
        if key.startswith("positions."):
            stretched = F.interpolate(
                value.T[None], size=own[key].shape[0], mode="linear", align_corners=True
            )
            own[key].copy_(stretched[0].T)


def _copy_channels(
    own: nn.Parameter, theirs: Tensor, patch: int, channels: list[str], known: list[str]
) -> None:
    """Columns of the projection of channels that both have; those of others stay as drawn."""
    source = theirs.reshape(len(theirs), patch, len(known))
    if own.numel() != len(theirs) * patch * len(channels):
        return
    target = own.reshape(len(theirs), patch, len(channels))
    for index, name in enumerate(channels):
        if name in known:
            target[:, :, index] = source[:, :, known.index(name)]


@dataclass(frozen=True)
class Tuned:
    """A tokenizer that was trained together with its head.

    Attributes:
        network: with both in place, in evaluation mode.
        steps: how long it was trained.
        metric: on the inputs of fold 0, when not fitted to them.
        loss: likewise, per input.
    """

    network: OmniVec2
    steps: int
    metric: float
    loss: float


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
) -> Tuned:
    """Train tokenizer and head through the frozen trunk; once to see how long, once on all.

    Args:
        network: with the tokenizer at its start; it is not changed.
        route: of the head.
        data: the labelled samples.
        held: items that the first training is measured on.
        classes: how many; 0 for quantities.
        metric: what is reported.
        steps: of the longest training.
        seed: of the head's start and of the order.
        advance: told how many steps are done; ``2 x steps`` in all.
    """
    everything = np.arange(len(data.labels))
    first = _Tuning(network, route, data.take(np.setdiff1d(everything, held)), classes, steps, seed)
    asked = data.take(held)
    best_loss, best_value, best_step = np.inf, float("nan"), 0
    for step in range(steps):
        first.step(step)
        advance(1)
        if (step + 1) % max(1, steps // _MEASURED) == 0:
            loss, value = first.measure(asked, metric)
            if loss < best_loss:
                best_loss, best_value, best_step = loss, value, step + 1
    last = _Tuning(network, route, data, classes, steps, seed)
    for step in range(best_step):
        last.step(step)
        advance(1)
    advance(steps - best_step)
    return Tuned(last.network.eval(), best_step, best_value, best_loss)


class _Tuning:
    """One training of a tokenizer and a head; the trunk is shared, not copied."""

    def __init__(
        self, network: OmniVec2, route: str, data: Prepared, classes: int, steps: int, seed: int
    ) -> None:
        self.network = copy.copy(network)
        # Modules are registered in dicts: those of the copy must be its own.
        self.network._modules = dict(network._modules)
        self.network.tokenizers = copy.deepcopy(network.tokenizers)
        self.network.heads = copy.deepcopy(network.heads)
        self.route, self.data, self.classes = route, data, classes
        self.steps, self.seed = steps, seed
        self.augment = _augment_of(network.config.modality_of(route), data)
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
        """One batch of inputs, a random sample of each."""
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
            return F.cross_entropy(outputs["logits"], wanted, reduction="none")
        error: Tensor = (outputs["values"] - wanted) / self.head.scale
        return error.square().mean(dim=1)

    @torch.no_grad()
    def _summaries(self, data: Prepared) -> Tensor:
        found = []
        for start in range(0, len(data.samples), _BATCH):
            inputs = as_tensors(collate(data.samples[start : start + _BATCH]))
            features = self.network.trunk(self.network.tokenize(self.route, inputs))
            found.append(self.head.summarise(features))
        return torch.cat(found)

    @torch.no_grad()
    def measure(self, data: Prepared, metric: str) -> tuple[float, float]:
        """Loss per input and the metric on inputs that were not fitted to."""
        predicted = answers_of(self.head, self._summaries(data), data.item)[1]
        value = METRICS[metric].measure(predicted, data.labels)
        return loss_of(predicted, data.labels, self.scale), value


def _augment_of(modality: Modality, data: Prepared) -> Augment | None:
    """Random variation of samples, where the modality has one that fits."""
    if modality is Modality.HYPERSPECTRAL:
        return augmentation.hyperspectral
    if modality is Modality.IMU and data.samples[0]["signal"].shape[1] % _AXES == 0:
        return augmentation.imu
    return None


def loss_of(predicted: Array, labels: Array, scale: Array) -> float:
    """Loss per input: of probabilities [n, classes], or of values in units of ``scale``."""
    if labels.ndim == 1:
        return float(-np.log(np.maximum(predicted[np.arange(len(labels)), labels], 1e-9)).mean())
    return float(np.square((predicted - labels) / scale).mean())


def scale_of(labels: Array) -> Array:
    """Deviation of quantities, kept away from 0; not used for classes."""
    return np.asarray(np.maximum(labels.std(axis=0), 1e-6))
