"""Heads of two layers per modality, fitted so that equal meanings get similar vectors.

A step takes one recording of each class from every modality, and the classes' names; each pair
of modalities gives a matrix of similarities whose diagonal is correct (InfoNCE, as in CLIP).
Every class appears once in it, so recordings of one class never count as negatives.
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
from omnivec2.training.adaptation.answer_forms import mean_by_item
from omnivec2.training.adaptation.fitting.fit_layers import standardise

_RATE = 1e-3
_DECAY = 0.1
_DROPOUT = 0.3
_MOST_CLASSES = 256
"""The classes of a step, drawn at random where there are more: as many negatives as CLIP needs."""
_TEMPERATURE = 0.1
"""The divisor of similarities; CLIP learns it, for which a few hundred recordings are too few."""


@dataclass(frozen=True)
class Summarised:
    """The frozen network's features of recordings.

    Attributes:
        summaries: The summaries of every sample, float32 [samples, summaries].
        item: The recording that each sample belongs to, int64 [samples].
        labels: The class of each recording, int64 [recordings].
    """

    summaries: Array
    item: Array
    labels: Array

    def keep_classes(self, classes: Array) -> Summarised:
        """Return the recordings of some classes, renumbered."""
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
        train: The features of recordings; a modality of names has one of each class.
        configs: The configurations of the heads.
        steps: The number of steps of AdamW.
        seed: The seed of initial weights, the choice of recordings and dropout.
        advance: A callback after every step.

    Returns:
        The heads in evaluation mode, by modality.
    """
    torch.manual_seed(seed)
    generator = np.random.default_rng((seed, 6))
    heads = {m: _new_head(configs[m], torch.from_numpy(f.summaries)) for m, f in train.items()}
    rows = {modality: _rows_by_class(features) for modality, features in train.items()}
    classes = np.unique(np.concatenate([features.labels for features in train.values()]))
    parameters = [p for head in heads.values() for p in head.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=_RATE, weight_decay=_DECAY)
    for step in range(steps):
        drawn = classes
        if len(classes) > _MOST_CLASSES:
            drawn = generator.choice(classes, _MOST_CLASSES, replace=False)
        for group in optimiser.param_groups:
            group["lr"] = _RATE * (1.0 - step / steps)
        vectors = {
            m: _vectors(head, train[m], [generator.choice(rows[m][c]) for c in drawn])
            for m, head in heads.items()
        }
        pairs = list(itertools.combinations(vectors.values(), 2))
        loss = torch.stack([contrastive_loss(a, b) for a, b in pairs]).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        advance()
    return {m: head.requires_grad_(False).eval() for m, head in heads.items()}


def contrastive_loss(first_ND: Tensor, second_ND: Tensor) -> Tensor:
    """Compute the symmetric InfoNCE of N vectors of length 1 with their N partners."""
    similarity_NN = first_ND @ second_ND.T / _TEMPERATURE
    diagonal = torch.arange(len(first_ND))
    return (
        F.cross_entropy(similarity_NN, diagonal) + F.cross_entropy(similarity_NN.T, diagonal)
    ) / 2


def embed_recordings(head: FullyConnectedHead, features: Summarised) -> Array:
    """Return one vector of length 1 per recording, the mean over its samples, as served."""
    answers = head.answer(torch.from_numpy(features.summaries))["embedding"]
    means = mean_by_item(answers.numpy(), features.item)[1]
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    return np.asarray(means / np.maximum(lengths, 1e-12))


def _new_head(config: HeadConfig, summaries: Tensor) -> FullyConnectedHead:
    head = FullyConnectedHead(config, summaries.shape[1] // len(config.summaries))
    standardise(head, summaries)
    return head


def _rows_by_class(features: Summarised) -> dict[int, Array]:
    classes = features.labels[features.item]
    return {int(c): np.flatnonzero(classes == c) for c in np.unique(classes)}


def _vectors(head: FullyConnectedHead, features: Summarised, rows: list[int]) -> Tensor:
    centred = torch.from_numpy(features.summaries[rows]) - head.mean
    summaries = F.dropout(centred, _DROPOUT) + head.mean
    return F.normalize(head.answer(summaries)["embedding"], dim=1)
