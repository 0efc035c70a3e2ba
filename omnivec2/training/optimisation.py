"""The optimisation shared by all stages: rates, parameter groups, clipping, averaged weights."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from omnivec2.network.backbones.load_backbone import TOKENIZER, TRUNK
from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.network.tokenizers.stem import PatchCells, Stem
from omnivec2.network.tokenizers.text import TextTokenizer
from omnivec2.network.tokenizers.visual import VisualTokenizer
from omnivec2.training.distributed.sharding import clip_gradients_, is_sharded
from omnivec2.training.fine_tuning.layer_rates import layer_rates, tokenizer_rates
from omnivec2.training.fine_tuning.warm_starts import starts_pretrained
from omnivec2.training.recipe import Recipe


def learning_rate(recipe: Recipe, step: int) -> float:
    """Return the factor on the peak rates: linear warm-up, then a cosine to one hundredth."""
    if step < recipe.warmup_steps:
        return (step + 1) / recipe.warmup_steps
    done = (step - recipe.warmup_steps) / max(1, recipe.steps - recipe.warmup_steps)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def parameter_groups(
    network: OmniVec2, recipe: Recipe, decoders: nn.Module | None = None
) -> list[dict[str, object]]:
    """Build AdamW's parameter groups by kind of weights, with decay for matrices only."""
    rates = recipe.learning_rates
    peaks = {
        id(p): rates.trunk for part in (network.trunk, network.fusion) for p in part.parameters()
    }
    for module in network.modules():
        if isinstance(module, Stem):
            peaks |= {id(p): rates.stem for p in module.parameters()}
    decay = recipe.layer_decay
    for name, tokenizer in network.tokenizers.items():
        if _is_pretrained(name, tokenizer, recipe):
            peaks |= tokenizer_rates(network, tokenizer, rates.pretrained, decay)
    if starts_pretrained(recipe.warm_start, TRUNK):
        peaks |= layer_rates(network, rates.pretrained, decay)
    groups: dict[tuple[float, float, bool], list[nn.Parameter]] = {}
    for parameter in [*network.parameters(), *(decoders.parameters() if decoders else ())]:
        if parameter.requires_grad:
            shrink = recipe.weight_decay if parameter.ndim > 1 else 0.0
            # A group's weights are stepped together: sharded and full tensors cannot be mixed.
            key = (peaks.get(id(parameter), rates.fresh), shrink, is_sharded(parameter))
            groups.setdefault(key, []).append(parameter)
    return [
        {"params": params, "lr": rate, "peak": rate, "weight_decay": shrink}
        for (rate, shrink, _), params in groups.items()
    ]


def _is_pretrained(name: str, tokenizer: nn.Module, recipe: Recipe) -> bool:
    """Whether all of a tokenizer starts from published weights: words, or plain patches."""
    whole = isinstance(tokenizer, TextTokenizer) or (
        isinstance(tokenizer, VisualTokenizer) and isinstance(tokenizer.stem, PatchCells)
    )
    # No package has plain patches.
    packaged = recipe.warm_start is True and not isinstance(tokenizer, TextTokenizer)
    return whole and not packaged and starts_pretrained(recipe.warm_start, f"{TOKENIZER}{name}")


def freeze_stems(network: OmniVec2, blocks: int) -> None:
    """Freeze the first blocks of every stem: ImageNet's edge filters suit every picture.

    Their feature maps are the largest, so this halves the cost of a visual sample.
    """
    for module in network.modules():
        if isinstance(module, Stem):
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            if blocks:
                for frozen in (module.first, *module.blocks[:blocks]):
                    frozen.requires_grad_(False)


def clip_gradient(part: nn.Module, max_norm: float) -> bool:
    """Clip a part's gradient to ``max_norm``; return False if it is not finite."""
    parameters = [p for p in part.parameters() if p.grad is not None]
    if any(map(is_sharded, parameters)):
        return bool(torch.isfinite(clip_gradients_(parameters, max_norm)))
    return bool(torch.isfinite(nn.utils.clip_grad_norm_(parameters, max_norm)))


class WeightAverage:
    """An exponential moving average of a network's parameters, which is evaluated and shipped.

    Args:
        network: The network to follow; buffers are constants and are not averaged.
        decay: The decay per step; early steps use a smaller one.
        every: The number of steps between updates, to save memory bandwidth.
    """

    def __init__(self, network: nn.Module, decay: float, every: int = 5) -> None:
        self.decay, self.every = decay, every
        self.values = {n: p.detach().clone() for n, p in network.named_parameters()}

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Move the average towards the current weights."""
        if step % self.every:
            return
        decay = min(self.decay**self.every, (1 + step) / (10 + step))
        for name, parameter in network.named_parameters():
            if parameter.requires_grad:
                self.values[name].lerp_(parameter.detach(), 1 - decay)

    def state(self, network: nn.Module) -> dict[str, Tensor]:
        """Return a state dict with averaged parameters and the network's buffers."""
        state = network.state_dict()
        first = {id(parameter): name for name, parameter in network.named_parameters()}
        for name, parameter in network.named_parameters(remove_duplicate=False):
            state[name] = self.values[first[id(parameter)]]  # tied weights have several names
        return state
