"""Two layers per modality, fitted so that what means the same has like vectors.

A step takes one recording of each class from every modality, and the classes' names; each pair
of modalities is a matrix of similarities whose diagonal is right (InfoNCE, as in CLIP). Every
class appears once in it, so nothing is held apart that belongs together.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from omnivec2.network.config import HeadConfig
from omnivec2.network.fc_head import FullyConnectedHead
from omnivec2.preprocess import Array
from omnivec2.spec import Modality
from omnivec2.training.adaptation.fitting.fit_layers import standardise
from omnivec2.training.adaptation.fitting.labelled_summaries import mean_by_item

_RATE = 1e-3
_DECAY = 0.1
_DROPOUT = 0.3
_TEMPERATURE = 0.1
"""Similarities are divided by it; CLIP learns it, which a few hundred recordings do not allow."""


@dataclass(frozen=True)
class Summarised:
    """What the frozen network makes of recordings.

    Attributes:
        summaries: float32 [samples, summaries].
        item: int64 [samples], the recording each belongs to.
        labels: int64 [recordings].
    """

    summaries: Array
    item: Array
    labels: Array

    def only(self, classes: Array) -> Summarised:
        """The recordings of some classes, renumbered."""
        kept = np.flatnonzero(np.isin(self.labels, classes))
        number = np.full(len(self.labels), -1)
        number[kept] = np.arange(len(kept))
        rows = np.flatnonzero(number[self.item] >= 0)
        return Summarised(self.summaries[rows], number[self.item[rows]], self.labels[kept])


Heads = Mapping[Modality, FullyConnectedHead]


def fit_heads(
    train: Mapping[Modality, Summarised],
    configs: Mapping[Modality, HeadConfig],
    *,
    steps: int,
    seed: int,
    advance: Callable[[], None] = lambda: None,
) -> Heads:
    """Fit a head for every modality.

    Args:
        train: recordings; a modality of names has one of each class.
        configs: of the heads.
        steps: of AdamW.
        seed: of the starts, the choice of recordings and dropout.
        advance: called after every step.

    Returns:
        heads in evaluation mode.
    """
    torch.manual_seed(seed)
    generator = np.random.default_rng((seed, 6))
    heads = {m: _head(configs[m], torch.from_numpy(part.summaries)) for m, part in train.items()}
    rows = {m: _rows_by_class(part) for m, part in train.items()}
    classes = np.unique(np.concatenate([part.labels for part in train.values()]))
    parameters = [p for head in heads.values() for p in head.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=_RATE, weight_decay=_DECAY)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = _RATE * (1.0 - step / steps)
        vectors = {
            m: _vectors(head, train[m], [generator.choice(rows[m][c]) for c in classes])
            for m, head in heads.items()
        }
        pairs = list(itertools.combinations(vectors.values(), 2))
        loss = torch.stack([contrast(a, b) for a, b in pairs]).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        advance()
    return {m: head.requires_grad_(False).eval() for m, head in heads.items()}


def contrast(first_ND: Tensor, second_ND: Tensor) -> Tensor:
    """Symmetric InfoNCE of N vectors of length 1 with their N partners."""
    similarity_NN = first_ND @ second_ND.T / _TEMPERATURE
    right = torch.arange(len(first_ND))
    return (F.cross_entropy(similarity_NN, right) + F.cross_entropy(similarity_NN.T, right)) / 2


def vectors_of(head: FullyConnectedHead, part: Summarised) -> Array:
    """One vector of length 1 per recording, as the service answers: the mean over its samples."""
    answers = head.answer(torch.from_numpy(part.summaries))["embedding"]
    means = mean_by_item(answers.numpy(), part.item)[1]
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    return np.asarray(means / np.maximum(lengths, 1e-12))


def _head(config: HeadConfig, summaries: Tensor) -> FullyConnectedHead:
    head = FullyConnectedHead(config, summaries.shape[1] // len(config.summaries))
    standardise(head, summaries)
    return head


def _rows_by_class(part: Summarised) -> dict[int, Array]:
    classes = part.labels[part.item]
    return {int(c): np.flatnonzero(classes == c) for c in np.unique(classes)}


def _vectors(head: FullyConnectedHead, part: Summarised, rows: list[int]) -> Tensor:
    summaries = F.dropout(torch.from_numpy(part.summaries[rows]) - head.mean, _DROPOUT) + head.mean
    return F.normalize(head.answer(summaries)["embedding"], dim=1)
