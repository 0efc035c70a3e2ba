"""The base of the three stages of training: batches in, one loss per stream out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.training.batches import StepBatch
from omnivec2.training.data.base import TaskData
from omnivec2.training.recipe import Recipe
from omnivec2.training.sampling import Sampler

Losses = list[tuple[str, Tensor]]
"""The route and the loss of every stream of a step."""


class TrainingStage(nn.Module, ABC):
    """A stage: the network, the modules it needs besides, and the losses of a step.

    Args:
        network: The network, which all stages share.
        recipe: The recipe of this stage.
        tasks: The data of every task that takes part, by route.
        seed: The seed of everything that is drawn.

    Attributes:
        trains_heads: Whether the network can be served after it.
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

    @classmethod
    @abstractmethod
    def build_sampler(cls, recipe: Recipe, tasks: Mapping[str, TaskData], seed: int) -> Sampler:
        """Build a sampler that draws the batches of such a stage; no network is needed."""

    def sampler(self) -> Sampler:
        """Build the sampler that draws the batches."""
        return self.build_sampler(self.recipe, self.tasks, self.seed)

    @abstractmethod
    def forward(self, batch: StepBatch) -> Losses:
        """Compute the loss of every stream of a step."""

    @property
    def decoders(self) -> nn.Module | None:
        """The modules trained with the network and dropped afterwards, one per tokenizer."""
        return None

    @property
    def batch_sizes(self) -> dict[str, int]:
        """The number of samples of one stream, by route."""
        return batch_sizes(self.recipe, self.tasks)

    @property
    def device(self) -> torch.device:
        """The device of the network."""
        return next(self.network.parameters()).device

    def clipped_modules(self) -> Sequence[nn.Module]:
        """Return the modules whose gradients are clipped separately.

        A large gradient of one task must not scale down another's.
        """
        network = self.network
        parts = [*network.tokenizers.values(), *network.heads.values()]
        parts += [network.trunk, network.fusion]
        return parts if self.decoders is None else [*parts, *self.decoders.children()]

    def generator(self, batch: StepBatch, *, per_micro_batch: bool = False) -> torch.Generator:
        """Return the random generator of a step: the same whenever and wherever it is run.

        Args:
            batch: The step.
            per_micro_batch: Whether each micro-batch gets a generator of its own.
        """
        offset = batch.micro_batch * 15_485_863 if per_micro_batch else 0
        return torch.Generator().manual_seed(self.seed * 1_000_003 + batch.step + offset)

    def autocast(self) -> torch.autocast:
        """Return a context with matrix products in bfloat16, if the recipe asks for it."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.bf16)

    def gates(
        self, batch: StepBatch, keep: float, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Draw the gates of both streams: m is 1 with probability ``keep``.

        They are drawn for the whole step, so that its micro-batches add up to it.
        """
        sizes = batch.sizes or [len(stream.targets) for stream in batch.streams]
        rows = batch.rows or [(0, size) for size in sizes]
        first, second = (
            torch.bernoulli(torch.full((size,), keep), generator=generator)[start:stop]
            for size, (start, stop) in zip(sizes, rows, strict=True)
        )
        return first.to(self.device), second.to(self.device)


def batch_sizes(recipe: Recipe, routes: Iterable[str]) -> dict[str, int]:
    """Return the number of samples of one stream, by route."""
    return {route: recipe.batch_size(route) for route in routes}
