"""Two fully connected layers on the features of a frozen network: adaptation and alignment heads.

The paper adapts to an unseen data set with 10 % of the labels, a frozen network and two fully
connected layers; nothing else of the network is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnivec2.network.config import OWN_SUMMARIES, HeadConfig, Summary
from omnivec2.network.layers import F_INPUT_MEAN, F_MEAN, Tokens, masked_mean
from omnivec2.spec import TaskFamily

FAMILIES = (
    TaskFamily.CLASSIFICATION,
    TaskFamily.SEGMENTATION,
    TaskFamily.REGRESSION,
    TaskFamily.FORECASTING,
)
"""The families that two layers can answer: a class, tags or quantities per sample (or per pixel),
or the next steps of a series."""

NONE_OF_ITS_OWN: Mapping[str, int] = MappingProxyType({})
"""The own summaries of most tokenizers."""

_WITH_UNITS = (TaskFamily.REGRESSION, TaskFamily.FORECASTING)

_SMALLEST_VARIANCE = 1e-6
"""A root is steep near 0, and rounding differs from one engine to the next."""


def _mean(tokens: Tokens) -> Tensor:
    """Return the mean over real tokens."""
    return masked_mean(tokens.x_BND, tokens.mask_BN)


def _sum(tokens: Tokens) -> Tensor:
    """Return the sum over real tokens, which keeps what grows with a molecule."""
    x_BND = tokens.x_BND
    if tokens.mask_BN is None:
        return x_BND.sum(dim=1)
    return (x_BND * tokens.mask_BN[..., None].to(x_BND.dtype)).sum(dim=1)


def _max(tokens: Tokens) -> Tensor:
    """Return the maximum of every number over real tokens."""
    x_BND = tokens.x_BND
    if tokens.mask_BN is not None:
        x_BND = torch.where(tokens.mask_BN[..., None], x_BND, x_BND.amin(dim=1, keepdim=True))
    return x_BND.amax(dim=1)


def _deviation(tokens: Tokens) -> Tensor:
    """Return the standard deviation of every number over real tokens."""
    distance = (tokens.x_BND - _mean(tokens)[:, None]).square()
    return (_mean(tokens.with_x(distance)) + _SMALLEST_VARIANCE).sqrt()


SUMMARIES: dict[Summary, Callable[[Tokens], Tensor]] = {
    "cls": lambda tokens: tokens.x_BND[:, 0],
    "mean": _mean,
    "sum": _sum,
    "f_mean": lambda tokens: tokens.extras[F_MEAN],
    "f_input_mean": lambda tokens: tokens.extras[F_INPUT_MEAN],
    "token_mean": lambda tokens: tokens.extras["token_mean"],
    "token_max": lambda tokens: tokens.extras["token_max"],
    "token_deviation": lambda tokens: tokens.extras["token_deviation"],
    "token_sum": lambda tokens: tokens.extras["token_sum"],
    "raw": lambda tokens: tokens.extras["raw"],
    "deep": lambda tokens: tokens.extras["deep"],
}
"""Functions from features to (B, their width); ``token_`` ones, ``raw`` and ``deep`` were taken
before the trunk, ``f_input_mean`` and ``f_mean`` on the way through it."""

TOKEN_SUMMARIES: dict[Summary, Callable[[Tokens], Tensor]] = {
    "token_mean": _mean,
    "token_max": _max,
    "token_deviation": _deviation,
    "token_sum": _sum,
}
"""Functions from tokens to (B, f width)."""

TRUNK_SUMMARIES: frozenset[Summary] = frozenset(SUMMARIES) - {*TOKEN_SUMMARIES, *OWN_SUMMARIES}
"""The summaries that look at what the trunk makes of an input."""

WIDE_SUMMARIES: frozenset[Summary] = frozenset((*TOKEN_SUMMARIES, F_MEAN, F_INPUT_MEAN))
"""The summaries that are as wide as f's transformer; the others have the features' own width."""


def summary_width(
    name: Summary, width: int, token_width: int, own_widths: Mapping[str, int] = NONE_OF_ITS_OWN
) -> int:
    """Return the size of a summary.

    Args:
        name: The summary.
        width: The width of the features.
        token_width: The width of the tokens before the trunk, and of f's transformer.
        own_widths: The sizes of the summaries that only the head's tokenizer hands out.

    Returns:
        The size, 0 if the tokenizer does not hand the summary out.
    """
    if name in OWN_SUMMARIES:
        return own_widths.get(name, 0)
    return token_width if name in WIDE_SUMMARIES else width


class FullyConnectedHead(nn.Module):
    """A head that standardises summaries of the features: linear, GELU, linear.

    ``mean`` and ``std`` are those of the summaries over the training samples, ``location``
    and ``scale`` those of regression targets: both are constants of the data. A forecast is made
    in each series' own deviation, which its tokenizer hands over, and its quantiles lie at fixed
    distances from it, ``offsets`` (quantiles, horizon) in that unit. A checkpoint
    rounds numbers to 11 bits; where summaries vary by less than that, ``mean_rest``, the
    rounding error of the mean, keeps them distinct.
    """

    mean: Tensor
    mean_rest: Tensor
    std: Tensor
    location: Tensor
    scale: Tensor
    offsets: Tensor

    def __init__(
        self,
        config: HeadConfig,
        width: int,
        token_width: int = 0,
        own_widths: Mapping[str, int] = NONE_OF_ITS_OWN,
    ) -> None:
        super().__init__()
        if config.family not in (*FAMILIES, TaskFamily.EMBEDDING):
            raise ValueError(f"two fully connected layers cannot answer {config.family.value}")
        self.summaries = config.summaries
        self.has_units = config.family in _WITH_UNITS
        self.is_forecast = config.family is TaskFamily.FORECASTING
        self.answers = "embedding" if config.family is TaskFamily.EMBEDDING else "logits"
        size = sum(summary_width(n, width, token_width, own_widths) for n in config.summaries)
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("mean_rest", torch.zeros(size))
        self.register_buffer("std", torch.ones(size))
        if self.has_units:
            self.register_buffer("location", torch.zeros(config.outputs))
            self.register_buffer("scale", torch.ones(config.outputs))
        if config.quantiles:
            self.register_buffer("offsets", torch.zeros(config.quantiles, config.outputs))
        self.has_quantiles = config.quantiles > 0
        self.first = nn.Linear(size, config.hidden)
        self.second = nn.Linear(config.hidden, config.outputs)

    def summarise(self, tokens: Tokens) -> Tensor:
        """Pool features (B, N, D) into (B, all summaries), not yet standardised."""
        return torch.cat([SUMMARIES[name](tokens) for name in self.summaries], dim=-1)

    def layers(self, summary_BS: Tensor) -> Tensor:
        """Map summaries to answers in standard units, (B, outputs)."""
        standard_BS = (summary_BS - self.mean - self.mean_rest) / self.std
        return self.second(F.gelu(self.first(standard_BS)))

    def answer(self, summary_BS: Tensor) -> dict[str, Tensor]:
        """Map summaries to ``logits``, ``embedding``, or ``values`` in real units.

        The values of a forecast are in the deviation of each series, from its mean.
        """
        standardised = self.layers(summary_BS)
        if self.has_units:
            return {"values": standardised * self.scale + self.location}
        return {self.answers: standardised}

    def forward(self, features: Tokens) -> dict[str, Tensor]:
        """Map features (B, N, g width) to named outputs."""
        answers = self.answer(self.summarise(features))
        return self._forecast(answers["values"], features) if self.is_forecast else answers

    def _forecast(self, values_BH: Tensor, features: Tokens) -> dict[str, Tensor]:
        """Return ``mean`` (B, H), and ``quantiles`` (B, Q, H) if it has any, in real units."""
        scale_B1, location_B1 = features.extras["scale"], features.extras["location"]
        outputs = {"mean": values_BH * scale_B1 + location_B1}
        if self.has_quantiles:
            levels_BQH = values_BH[:, None] + self.offsets
            outputs["quantiles"] = levels_BQH * scale_B1[:, :, None] + location_B1[:, :, None]
        return outputs
