"""Series, inertial recordings and spectra: the values of hidden runs are to be restored."""

from __future__ import annotations

import torch
from torch import Tensor

from omnivec2.network.tokenizers.series import (
    HyperspectralTokenizer,
    ImuTokenizer,
    TimeSeriesTokenizer,
)
from omnivec2.training.masked.restoration import (
    Inputs,
    Restoration,
    every_token,
    normalised,
    square_error,
)

_SERIES_SPAN = 4
"""Patches overlap by half: only a run of them hides more than their neighbours tell."""


class TimeSeriesRestoration(Restoration[TimeSeriesTokenizer]):
    """``values`` (B, context): only values that no visible patch covers are counted."""

    span = _SERIES_SPAN

    def __init__(self, tokenizer: TimeSeriesTokenizer) -> None:
        super().__init__(tokenizer)
        self.outputs = tokenizer.patch

    def maskable(self, inputs: Inputs) -> Tensor:
        """Every patch."""
        return every_token(inputs, self.tokenizer.count)

    def hidden_values(self, hidden_BN: Tensor) -> Tensor:
        """Values that only hidden patches cover, with the tokenizer's padding: (B, T)."""
        patch, stride, count = self.tokenizer.patch, self.tokenizer.stride, self.tokenizer.count
        seen = torch.zeros(
            len(hidden_BN), (count - 1) * stride + patch, dtype=torch.bool, device=hidden_BN.device
        )
        for index in range(count):
            seen[:, index * stride : index * stride + patch] |= ~hidden_BN[:, index, None]
        return ~seen

    def hide(self, inputs: Inputs, hidden_BN: Tensor, generator: torch.Generator) -> Inputs:
        """Hidden values take the mean of the others: the series' scale must not tell them."""
        del generator
        values = inputs["values"]
        hidden = self.hidden_values(hidden_BN)[:, : values.shape[1]]
        seen = (~hidden).to(values.dtype)
        mean = (values * seen).sum(1, keepdim=True) / seen.sum(1, keepdim=True).clamp(min=1)
        return {"values": torch.where(hidden, mean, values)}

    def places(self, inputs: Inputs) -> Tensor:
        """The tokenizer's positions."""
        del inputs
        return self.tokenizer.positions((self.tokenizer.count,))[None]

    def loss(self, predicted_BNP: Tensor, inputs: Inputs, hidden_BN: Tensor) -> Tensor:
        """l2 in the normalisation that what is seen of the series gives."""
        known = self.hide(inputs, hidden_BN, torch.Generator())["values"]
        location, scale, _ = self.tokenizer.normalised(known)
        wanted = self.tokenizer.patches((inputs["values"] - location) / scale)
        hidden = self.hidden_values(hidden_BN)
        counted = hidden.unfold(1, self.tokenizer.patch, self.tokenizer.stride)
        return square_error(predicted_BNP, wanted, counted & hidden_BN[..., None])


class ImuRestoration(Restoration[ImuTokenizer]):
    """``signal`` (B, window, channels); runs do not overlap."""

    def __init__(self, tokenizer: ImuTokenizer) -> None:
        super().__init__(tokenizer)
        self.outputs = tokenizer.patch * len(tokenizer.mean)

    def maskable(self, inputs: Inputs) -> Tensor:
        """Every run."""
        return every_token(inputs, self.tokenizer.count)

    def hide(self, inputs: Inputs, hidden_BN: Tensor, generator: torch.Generator) -> Inputs:
        """Hidden runs rest at every channel's mean."""
        del generator
        hidden = hidden_BN.repeat_interleave(self.tokenizer.patch, dim=1)[..., None]
        return {"signal": torch.where(hidden, self.tokenizer.mean, inputs["signal"])}

    def places(self, inputs: Inputs) -> Tensor:
        """The tokenizer's positions."""
        del inputs
        return self.tokenizer.positions((self.tokenizer.count,))[None]

    def loss(self, predicted_BNP: Tensor, inputs: Inputs, hidden_BN: Tensor) -> Tensor:
        """l2 in deviations of each channel: how strong a movement is must be restored too."""
        wanted = self.tokenizer.runs(inputs["signal"]).float()
        return square_error(predicted_BNP, wanted, hidden_BN)


class HyperspectralRestoration(Restoration[HyperspectralTokenizer]):
    """``window`` (B, 7, 7, bands): groups of bands are hidden in all pixels of the window."""

    def __init__(self, tokenizer: HyperspectralTokenizer) -> None:
        super().__init__(tokenizer)
        self.outputs = tokenizer.project.in_features

    def maskable(self, inputs: Inputs) -> Tensor:
        """Every group of bands."""
        return every_token(inputs, self.tokenizer.count)

    def hide(self, inputs: Inputs, hidden_BN: Tensor, generator: torch.Generator) -> Inputs:
        """Hidden bands are 0, which also keeps them out of the search for holes."""
        del generator
        window = inputs["window"]
        hidden = hidden_BN.repeat_interleave(self.tokenizer.group, dim=1)[:, : window.shape[3]]
        return {"window": window.masked_fill(hidden[:, None, None], 0.0)}

    def places(self, inputs: Inputs) -> Tensor:
        """The tokenizer's positions."""
        del inputs
        return self.tokenizer.positions((self.tokenizer.count,))[None]

    def loss(self, predicted_BNP: Tensor, inputs: Inputs, hidden_BN: Tensor) -> Tensor:
        """l2 on groups that are normalised one by one, as with pictures."""
        wanted = normalised(self.tokenizer.groups(inputs["window"]))
        return square_error(predicted_BNP, wanted, hidden_BN)
