"""Stage 3, supervised: two tasks of two modalities per step, with cross-attention that fades out.

The loss of a step is l_iq + l_jr, each with its task's weight. Each sample's cross-attention
is kept with probability ``1 - drop``; near the end of the run that probability goes to zero, so
that the network ends as the single stream that is exported.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from omnivec2.errors import ArtifactError
from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.training.batches import StepBatch
from omnivec2.training.data.base import TaskData
from omnivec2.training.losses import has_loss, loss_of
from omnivec2.training.recipe import Recipe
from omnivec2.training.sampling import PairSampler, Sampler
from omnivec2.training.stage import Losses, TrainingStage, batch_sizes
from omnivec2.training.structure.training_arrays import target_scales

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
        if unlabelled := [route for route, task in tasks.items() if not has_loss(task)]:
            raise ArtifactError(
                f"{unlabelled[0]} has no labels and can only take part in masked stages; "
                "name the other tasks in `only` of the supervised stage"
            )
        literal = recipe.literal.losses
        self.losses = {route: loss_of(task, literal=literal) for route, task in tasks.items()}

    def target_scales(self) -> dict[str, Tensor]:
        """Compute the deviation of the targets of every regression task."""
        return scales_of(self.tasks)

    @classmethod
    def build_sampler(cls, recipe: Recipe, tasks: Mapping[str, TaskData], seed: int) -> Sampler:
        """Build a sampler of pairs by the weights of the recipe."""
        weights = {route: recipe.tasks[route].weight for route in tasks}
        sizes = batch_sizes(recipe, tasks)
        half = recipe.literal.batches
        return PairSampler(tasks, weights, sizes, seed, scales_of(tasks), half_batches=half)

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
        stream_losses: Losses = []
        for stream, output in zip((first, second), outputs, strict=True):
            loss = self.losses[stream.route](output, stream.targets, stream.scale)
            stream_losses.append((stream.route, loss))
        return stream_losses


def scales_of(tasks: Mapping[str, TaskData]) -> dict[str, Tensor]:
    """Compute the deviation of the targets of every task that has one, by route."""
    scales = {route: target_scales(task) for route, task in tasks.items()}
    return {route: torch.as_tensor(s) for route, s in scales.items() if s is not None}
