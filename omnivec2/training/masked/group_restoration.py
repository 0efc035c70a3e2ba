"""Point clouds: the coordinates of hidden groups are to be restored around their centres."""

from __future__ import annotations

import torch
from torch import Tensor

from omnivec2.network.tokenizers.points import GROUP_GAIN, PointCloudTokenizer
from omnivec2.training.masked.restoration import Inputs, Restoration, every_token

_POINTS = 32
"""Points that a decoder draws per group, as many as a group has by default."""


class PointCloudRestoration(Restoration[PointCloudTokenizer]):
    """``groups`` (B, G, K, 3) relative to ``centres`` (B, G, 3), which stay known."""

    outputs = _POINTS * 3

    def maskable(self, inputs: Inputs) -> Tensor:
        """Every group."""
        return every_token(inputs, inputs["groups"].shape[1])

    def hide(self, inputs: Inputs, hidden_BN: Tensor, generator: torch.Generator) -> Inputs:
        """All points of a hidden group lie on its centre."""
        del generator
        return {**inputs, "groups": inputs["groups"].masked_fill(hidden_BN[..., None, None], 0.0)}

    def places(self, inputs: Inputs) -> Tensor:
        """The tokenizer's embedding of the centres."""
        return self.tokenizer.centre(inputs["centres"])

    def loss(self, predicted_BNP: Tensor, inputs: Inputs, hidden_BN: Tensor) -> Tensor:
        """Chamfer distance of the drawn points and the real ones, on the tokenizer's scale."""
        drawn = predicted_BNP[hidden_BN].reshape(-1, _POINTS, 3)
        real = inputs["groups"][hidden_BN].float() * GROUP_GAIN
        return chamfer(drawn, real)


def chamfer(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared distance to the nearest point, both ways: (S, K, 3), (S, M, 3) -> scalar."""
    squared = (a[:, :, None] - b[:, None]).square().sum(dim=-1)
    return squared.amin(dim=2).mean() + squared.amin(dim=1).mean()
