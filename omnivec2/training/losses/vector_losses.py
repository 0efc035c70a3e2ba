"""Losses of vectors: what shows the same thing is drawn together, other things apart.

Their package is imported with the first batch that needs it: it takes a second or more, and few
trainings have such a head.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from omnivec2.training.losses.base import LossScale, Outputs

if TYPE_CHECKING:
    from pytorch_metric_learning.losses import SupConLoss, TripletMarginLoss
    from pytorch_metric_learning.miners import BatchHardMiner

_TEMPERATURE = 0.1
_MARGIN = 0.3
"""The margin of triplets, as in re-identification (Hermans et al., 2017, Luo et al., 2019)."""


def contrastive_loss(outputs: Outputs, targets: Sequence[Any], scale: LossScale) -> Tensor:
    """Compute the supervised contrastive loss (Khosla et al., 2020).

    Args:
        outputs: The head's ``embedding`` (B, dimensions).
        targets: The number of what each sample shows.
        scale: An argument of all losses, not used here.
    """
    del scale
    vectors, identities = _vectors_and_identities(outputs, targets)
    loss: Tensor = _contrastive()(vectors, identities)
    return loss


def triplet_loss(outputs: Outputs, targets: Sequence[Any], scale: LossScale) -> Tensor:
    """Compute the triplet loss of each sample's farthest positive and nearest negative.

    Args:
        outputs: The head's ``embedding`` (B, dimensions).
        targets: The number of what each sample shows.
        scale: An argument of all losses, not used here.
    """
    del scale
    vectors, identities = _vectors_and_identities(outputs, targets)
    loss: Tensor = _triplet()(vectors, identities, _hard_miner()(vectors, identities))
    return loss


def _vectors_and_identities(outputs: Outputs, targets: Sequence[Any]) -> tuple[Tensor, Tensor]:
    vectors = outputs["embedding"].float()
    return vectors, torch.as_tensor(np.asarray(targets, np.int64), device=vectors.device)


@cache
def _contrastive() -> SupConLoss:
    from pytorch_metric_learning.losses import SupConLoss

    return SupConLoss(temperature=_TEMPERATURE)


@cache
def _triplet() -> TripletMarginLoss:
    from pytorch_metric_learning.losses import TripletMarginLoss

    return TripletMarginLoss(margin=_MARGIN)


@cache
def _hard_miner() -> BatchHardMiner:
    from pytorch_metric_learning.miners import BatchHardMiner

    return BatchHardMiner()
