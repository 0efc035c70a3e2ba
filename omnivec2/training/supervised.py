"""Stage 3, supervised: two tasks of two modalities per step, with cross-attention that fades out.

The loss of a step is l_iq + l_jr, each with its task's weight. Each sample's cross-attention
is kept with probability ``1 - drop``; near the end of the run that probability goes to zero, so
that the network ends as the single stream that is exported.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from omnivec2.errors import ArtifactError
from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.spec import TaskFamily
from omnivec2.training.batches import StepBatch
from omnivec2.training.data.base import TaskData
from omnivec2.training.losses import losses_by_family
from omnivec2.training.recipe import Recipe
from omnivec2.training.sampling import PairSampler, Sampler
from omnivec2.training.stage import Losses, TrainingStage

_SETTLED = 0.7
"""The share of the single-stream tail after which no sample uses cross-attention any more."""


def keep_probability(recipe: Recipe, step: int) -> float:
    """Return the probability that a sample's cross-attention is on at ``step``."""
    keep = 1.0 - recipe.cross_attention_drop
    tail_start = recipe.steps * (1 - recipe.single_stream_tail)
    if step < tail_start:
        return keep
    position = (step - tail_start) / max(1.0, recipe.steps * recipe.single_stream_tail)
    return keep * max(0.0, 1.0 - position / _SETTLED)


class SupervisedStage(TrainingStage):
    """The stage that trains pairs of tasks with their labels."""

    trains_heads = True

    def __init__(
        self, network: OmniVec2, recipe: Recipe, tasks: Mapping[str, TaskData], seed: int
    ) -> None:
        super().__init__(network, recipe, tasks, seed)
        families = losses_by_family()
        if unlabelled := [route for route, task in tasks.items() if task.family not in families]:
            raise ArtifactError(
                f"{unlabelled[0]} has no labels and can only take part in masked stages; "
                "name the other tasks in `only` of the supervised stage"
            )

    def target_scales(self) -> dict[str, Tensor]:
        """Compute the deviation of the targets of every regression task."""
        return {
            route: torch.as_tensor(np.stack(list(task.splits["train"].targets)).std(axis=0))
            for route, task in self.tasks.items()
            if task.family is TaskFamily.REGRESSION
        }

    def sampler(self) -> Sampler:
        """Build a sampler of pairs by the weights of the recipe."""
        weights = {route: self.recipe.tasks[route].weight for route in self.tasks}
        return PairSampler(
            self.tasks,
            weights,
            self.batch_sizes,
            self.seed,
            self.target_scales(),
            half_batches=self.recipe.literal.batches,
        )

    def forward(self, batch: StepBatch) -> Losses:
        """Compute both losses, with single streams once all gates are closed."""
        first, second = batch.streams
        keep = keep_probability(self.recipe, batch.step)
        gates = self.gates(batch, keep, self.generator(batch))
        with self.autocast():
            if keep == 0.0:
                outputs = (
                    self.network(first.route, first.inputs),
                    self.network(second.route, second.inputs),
                )
            else:
                outputs = self.network.forward_pair(
                    (first.route, second.route), (first.inputs, second.inputs), gates
                )
        losses = losses_by_family(literal=self.recipe.literal.losses)
        stream_losses: Losses = []
        for stream, output in zip((first, second), outputs, strict=True):
            loss = losses[self.tasks[stream.route].family]
            stream_losses.append((stream.route, loss(output, stream.targets, stream.scale)))
        return stream_losses
