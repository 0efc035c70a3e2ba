"""Restoring ids of fields: what tables and graphs share."""

from __future__ import annotations

import itertools
import math

import torch.nn.functional as F
from torch import Tensor


def field_sizes(offsets: Tensor, total: int) -> list[int]:
    """Return the number of ids of every field.

    Args:
        offsets: The places where the fields start in the common table.
        total: The number of ids in the table.
    """
    starts = [*offsets.tolist(), total]
    return [b - a for a, b in itertools.pairwise(starts)]


def relative_entropy(logits: Tensor, wanted: Tensor, counted: Tensor) -> Tensor:
    """Return the summed cross-entropy in units of a blind guess (ln of the choices).

    Args:
        logits: The guesses, (..., choices).
        wanted: The true ids, (...).
        counted: Whether a guess counts, bool (...).
    """
    choices = logits.shape[-1]
    entropy = F.cross_entropy(logits.reshape(-1, choices), wanted.reshape(-1), reduction="none")
    return (entropy * counted.reshape(-1)).sum() / math.log(max(choices, 2))
