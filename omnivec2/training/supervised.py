"""Stage 3, supervised: two tasks of two modalities per step, cross-attention that drops away.

The loss of a step is l_iq + l_jr. Each sample's cross-attention is kept with probability
``1 - drop``; over the last part of the run that probability goes to zero, so that the
network ends as the single stream that is exported.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.network.tokenizers.stem import Stem
from omnivec2.network.tokenizers.text import TextTokenizer
from omnivec2.training.losses import LOSSES
from omnivec2.training.recipe import Recipe
from omnivec2.training.sampling import PairBatch

_SETTLED = 0.7
"""Share of the single-stream tail after which no sample uses cross-attention any more."""


@dataclass(frozen=True)
class StepResult:
    """What a step did: the loss of each of its tasks and the share of gates that were on."""

    losses: dict[str, float]
    gate_share: float


def keep_probability(recipe: Recipe, step: int) -> float:
    """Chance that a sample's cross-attention is on at ``step``."""
    keep = 1.0 - recipe.cross_attention_drop
    tail_start = recipe.steps * (1 - recipe.single_stream_tail)
    if step < tail_start:
        return keep
    position = (step - tail_start) / max(1.0, recipe.steps * recipe.single_stream_tail)
    return keep * max(0.0, 1.0 - position / _SETTLED)


def learning_rate(recipe: Recipe, step: int) -> float:
    """Factor on the peak rates: linear warm-up, then a cosine to one hundredth."""
    if step < recipe.warmup_steps:
        return (step + 1) / recipe.warmup_steps
    done = (step - recipe.warmup_steps) / max(1, recipe.steps - recipe.warmup_steps)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def parameter_groups(network: OmniVec2, recipe: Recipe) -> list[dict[str, object]]:
    """AdamW's groups: by kind of weights, matrices with decay and vectors without."""
    rates = recipe.learning_rates
    kinds = {
        id(p): rates.trunk for part in (network.trunk, network.fusion) for p in part.parameters()
    }
    for module in network.modules():
        if isinstance(module, Stem):
            kinds |= {id(p): rates.stem for p in module.parameters()}
        if isinstance(module, TextTokenizer) and recipe.warm_start:
            kinds |= {id(p): rates.pretrained for p in module.parameters()}
    if recipe.warm_start:
        kinds |= {id(p): rates.pretrained for p in network.trunk.f.transformer.parameters()}
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter in network.parameters():
        if parameter.requires_grad:
            decay = recipe.weight_decay if parameter.ndim > 1 else 0.0
            key = (kinds.get(id(parameter), rates.fresh), decay)
            groups.setdefault(key, []).append(parameter)
    return [
        {"params": params, "lr": rate, "peak": rate, "weight_decay": decay}
        for (rate, decay), params in groups.items()
    ]


def freeze_stems(network: OmniVec2, blocks: int) -> None:
    """Keep the first blocks of every stem as they are: ImageNet's edges serve everywhere.

    They are also the largest pictures, so this halves the cost of a visual sample.
    """
    for module in network.modules():
        if isinstance(module, Stem):
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            if blocks:
                for frozen in (module.first, *module.blocks[:blocks]):
                    frozen.requires_grad_(False)


def pair_step(
    network: OmniVec2,
    optimiser: torch.optim.Optimizer,
    batch: PairBatch,
    recipe: Recipe,
) -> StepResult:
    """One optimiser step on one pair of tasks."""
    factor = learning_rate(recipe, batch.step)
    for group in optimiser.param_groups:
        group["lr"] = group["peak"] * factor
    keep = keep_probability(recipe, batch.step)
    generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 + batch.step)
    first, second = batch.streams
    gates = tuple(
        torch.bernoulli(torch.full((len(s.targets),), keep), generator=generator)
        for s in (first, second)
    )
    with torch.autocast("cpu", torch.bfloat16, enabled=recipe.bf16):
        if keep == 0.0:
            outputs = (network(first.route, first.inputs), network(second.route, second.inputs))
        else:
            outputs = network.forward_pair(
                (first.route, second.route), (first.inputs, second.inputs), (gates[0], gates[1])
            )
    losses: dict[str, Tensor] = {}
    for stream, output in zip((first, second), outputs, strict=True):
        family = network.config.heads[stream.route].family
        losses[stream.route] = LOSSES[family](output, stream.targets, stream.scale)
    total = torch.stack(list(losses.values())).sum()
    optimiser.zero_grad(set_to_none=True)
    total.backward()  # type: ignore[no-untyped-call]
    if all([clip_part(part, recipe.gradient_clip) for part in _parts(network)]):
        optimiser.step()
    share = float(torch.cat(gates).mean())
    return StepResult({r: float(loss.detach()) for r, loss in losses.items()}, share)


def _parts(network: OmniVec2) -> list[nn.Module]:
    """What is clipped by itself, so that one task's large gradient does not silence another."""
    return [*network.tokenizers.values(), *network.heads.values(), network.trunk, network.fusion]


def clip_part(part: nn.Module, most: float) -> bool:
    """Shorten a part's gradient to ``most``; False if it is not a number."""
    found = [p for p in part.parameters() if p.grad is not None]
    return bool(torch.isfinite(nn.utils.clip_grad_norm_(found, most)))


class WeightAverage:
    """Exponential moving average of a network's parameters: what is evaluated and shipped.

    Args:
        network: whose weights are followed; buffers are constants and are not averaged.
        decay: per step; early steps use a shorter memory.
        every: steps between updates, to spare memory bandwidth.
    """

    def __init__(self, network: nn.Module, decay: float, every: int = 5) -> None:
        self.decay, self.every = decay, every
        self.values = {n: p.detach().clone() for n, p in network.named_parameters()}

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Move towards the present weights."""
        if step % self.every:
            return
        decay = min(self.decay**self.every, (1 + step) / (10 + step))
        for name, parameter in network.named_parameters():
            if parameter.requires_grad:
                self.values[name].lerp_(parameter.detach(), 1 - decay)

    def state(self, network: nn.Module) -> dict[str, Tensor]:
        """A state dict with averaged parameters and the network's buffers."""
        return {**network.state_dict(), **self.values}


def smoothed(
    losses: Mapping[str, float], result: StepResult, memory: float = 0.95
) -> Iterator[tuple[str, float]]:
    """Moving average of every task's loss after a step."""
    for route, loss in result.losses.items():
        yield route, memory * losses.get(route, loss) + (1 - memory) * loss
