"""Low-rank updates of linear maps (LoRA, Hu et al., 2021), merged before a network is saved.

``y = W x + b + s B A x``: W and b stay as they are, A (rank x inputs) and B (outputs x rank) are
trained. B starts at zero, so that a network begins as its pretrained weights. The update is a
part of training only: checkpoints and graphs hold ``W + s B A`` under the name of W.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from omnivec2.network.layers import Transformer, TransformerLayer
from omnivec2.network.omnivec2 import OmniVec2

Target = Literal["query", "key", "value", "output", "up", "down"]
"""The linear maps of a transformer layer: four of its attention, two of its feed-forward part."""

_DOWN, _UP = "low_rank_a", "low_rank_b"


class LowRankSettings(BaseModel):
    """The section ``lora`` of a recipe: low-rank updates in place of f's own weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rank: int = Field(default=8, gt=0, description="rank of an update")
    alpha: float = Field(default=16.0, gt=0, description="an update is scaled by alpha / rank")
    targets: tuple[Target, ...] = Field(
        default=("query", "value"), min_length=1, description="maps of a layer that get an update"
    )
    include_g: bool = Field(default=False, description="updates in g's layers as well")


class LowRankLinear(nn.Linear):
    """A linear map with a low-rank update, under the same names of weights.

    Args:
        base: The pretrained map, whose weights are taken over.
        rank: The rank of the update.
        scale: The factor of the update.
    """

    def __init__(self, base: nn.Linear, rank: int, scale: float) -> None:
        super().__init__(base.in_features, base.out_features, device="meta")
        self.weight, self.bias = base.weight, base.bias
        self.scale = scale
        self.low_rank_a = nn.Parameter(torch.randn(rank, base.in_features) / rank**0.5)
        self.low_rank_b = nn.Parameter(torch.zeros(base.out_features, rank))

    def forward(self, x: Tensor) -> Tensor:
        """Apply the map and its update."""
        update = F.linear(F.linear(x, self.low_rank_a), self.low_rank_b)
        return super().forward(x) + self.scale * update


def add_low_rank_updates(network: OmniVec2, settings: LowRankSettings) -> None:
    """Give the chosen maps of f's layers, and of g's if asked for, an update; in place."""
    stacks = [network.trunk.f.transformer]
    if settings.include_g:
        stacks.append(network.trunk.g.transformer)
    for stack in stacks:
        for layer in stack.layers:
            assert isinstance(layer, TransformerLayer)
            for target in settings.targets:
                parent = layer if target in ("up", "down") else layer.attention
                base = parent.get_submodule(target)
                assert isinstance(base, nn.Linear)
                update = LowRankLinear(base, settings.rank, settings.alpha / settings.rank)
                setattr(parent, target, update)


def freeze_updated_stacks(network: OmniVec2) -> None:
    """Freeze the own weights of every stack of layers that has updates, which stay trainable."""
    for stack in network.modules():
        if not isinstance(stack, Transformer):
            continue
        names = [name for name, _ in stack.named_parameters()]
        if any(name.endswith((_DOWN, _UP)) for name in names):
            for name, parameter in stack.named_parameters():
                parameter.requires_grad_(name.endswith((_DOWN, _UP)))


def merged_state(network: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state dict with updates added to the weights they belong to.

    Args:
        network: The network, whose modules say which maps have an update.
        state: Its tensors by name, for example averaged ones.
    """
    merged = dict(state)
    for name, module in network.named_modules():
        if isinstance(module, LowRankLinear):
            down, up = merged.pop(f"{name}.{_DOWN}"), merged.pop(f"{name}.{_UP}")
            merged[f"{name}.weight"] = merged[f"{name}.weight"] + module.scale * (up @ down)
    return merged
