"""Which tokens are hidden: how many by modality, and where by chance."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from omnivec2.spec import Modality

RATIOS: Mapping[Modality, float] = {
    Modality.IMAGE: 0.75,
    Modality.VIDEO: 0.90,
    Modality.AUDIO: 0.80,
    Modality.TEXT: 0.15,
    Modality.DEPTH: 0.75,
    Modality.POINTCLOUD: 0.60,
    Modality.TIMESERIES: 0.40,
    Modality.TABULAR: 0.30,
    Modality.GRAPH: 0.25,
    Modality.XRAY: 0.75,
    Modality.INFRARED: 0.75,
    Modality.IMU: 0.40,
    Modality.HYPERSPECTRAL: 0.40,
}
"""Share of tokens that are hidden, from the closest published practice: MAE, VideoMAE,
AudioMAE, BERT, Point-MAE, PatchTST; less where single columns or atoms are hidden."""

LITERAL_RATIOS: Mapping[Modality, float] = {
    **RATIOS,
    **dict.fromkeys((Modality.IMAGE, Modality.VIDEO, Modality.AUDIO, Modality.TEXT), 0.95),
    Modality.POINTCLOUD: 0.90,
}
"""The paper's: image, video and audio 95 %, points 90 %, text 95 % "with f = 5 %"."""


def choose_hidden(
    maskable_BN: Tensor, ratio: float, generator: torch.Generator, span: int = 1
) -> Tensor:
    """Draw the hidden tokens of every sample.

    Args:
        maskable_BN: tokens that may be hidden, bool.
        ratio: share of them that is hidden; at least one is, and one is left if there are two.
        generator: on the CPU; the same numbers on every device.
        span: neighbours that are hidden together.

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
