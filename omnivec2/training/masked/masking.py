"""The choice of the tokens that are hidden, by chance."""

from __future__ import annotations

import torch
from torch import Tensor


def choose_hidden(
    maskable_BN: Tensor, ratio: float, generator: torch.Generator, span: int = 1
) -> Tensor:
    """Draw the hidden tokens of every sample.

    Args:
        maskable_BN: The tokens that may be hidden, bool.
        ratio: The share of them that is hidden; at least one is, and one is left if there are two.
        generator: A generator on the CPU, for the same numbers on every device.
        span: The number of neighbours that are hidden together.

    Returns:
        bool (B, N), on the device of ``maskable_BN``.
    """
    maskable = maskable_BN.cpu()
    batch, count = maskable.shape
    noise = torch.rand(batch, -(-count // span), generator=generator)
    noise = noise.repeat_interleave(span, dim=1)[:, :count].masked_fill(~maskable, 2.0)
    real = maskable.sum(dim=1)
    wanted = (ratio * real).round().clamp(min=1).minimum((real - 1).clamp(min=1))
    rank = noise.argsort(dim=1, stable=True).argsort(dim=1, stable=True)
    return ((rank < wanted[:, None]) & maskable).to(maskable_BN.device)
