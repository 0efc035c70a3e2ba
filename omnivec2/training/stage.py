"""What the three stages of training have in common: batches in, one loss per stream out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.training.data.base import TaskData
from omnivec2.training.recipe import Recipe
from omnivec2.training.sampling import Sampler, StepBatch

Losses = list[tuple[str, Tensor]]
"""Route and loss of every stream of a step."""


class TrainingStage(nn.Module, ABC):
    """One stage: the network, what it needs beside it, and the losses of a step.

    Args:
        network: shared by all stages.
        recipe: of this stage.
        tasks: route -> data, those that take part.
        seed: decides everything that is drawn.

    Attributes:
        trains_heads: whether the network can be served after it.
    """

    trains_heads = False

    def __init__(
        self, network: OmniVec2, recipe: Recipe, tasks: Mapping[str, TaskData], seed: int
    ) -> None:
        super().__init__()
        self.network = network
        self.recipe = recipe
        self.tasks = dict(tasks)
        self.seed = seed

    @abstractmethod
    def sampler(self) -> Sampler:
        """What draws the batches."""

    @abstractmethod
    def forward(self, batch: StepBatch) -> Losses:
        """The loss of every stream of a step."""

    @property
    def decoders(self) -> nn.Module | None:
        """What is trained with the network and dropped afterwards, one child per tokenizer."""
        return None

    @property
    def batch_sizes(self) -> dict[str, int]:
        """Samples of one stream of every task."""
        return {route: self.recipe.batch_size(route) for route in self.tasks}

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    def parts(self) -> Sequence[nn.Module]:
        """What is clipped by itself: a task's large gradient must not silence another's."""
        network = self.network
        own = [*network.tokenizers.values(), *network.heads.values(), network.trunk, network.fusion]
        return own if self.decoders is None else [*own, *self.decoders.children()]

    def generator(self, batch: StepBatch, *, by_part: bool = False) -> torch.Generator:
        """Chance of a step: the same whenever and wherever the step is run.

        Args:
            batch: the step.
            by_part: another chance for every part of it.
        """
        part = batch.part * 15_485_863 if by_part else 0
        return torch.Generator().manual_seed(self.seed * 1_000_003 + batch.step + part)

    def autocast(self) -> torch.autocast:
        """Matrix products in bfloat16, if the recipe says so."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.bf16)

    def gates(
        self, batch: StepBatch, keep: float, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Whether each sample looks at the other stream: m is 1 with probability ``keep``.

        They are drawn for the whole step, so that its parts add up to it.
        """
        sizes = batch.sizes or [len(stream.targets) for stream in batch.streams]
        rows = batch.rows or [(0, size) for size in sizes]
        first, second = (
            torch.bernoulli(torch.full((size,), keep), generator=generator)[start:stop]
            for size, (start, stop) in zip(sizes, rows, strict=True)
        )
        return first.to(self.device), second.to(self.device)
