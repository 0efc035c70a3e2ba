"""Stages 1 and 2 of the paper: masked pretraining of one modality, and of two at once."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.training.batches import StepBatch
from omnivec2.training.data.base import TaskData
from omnivec2.training.masked.objective import MaskedObjective, Reach
from omnivec2.training.recipe import Recipe
from omnivec2.training.sampling import AlternatingSampler, RootPairSampler, Sampler
from omnivec2.training.stage import Losses, TrainingStage, batch_sizes


class _MaskedStage(TrainingStage):
    """The base of both stages, with decoders that are made anew from the stage's own seed."""

    reach: Reach

    def __init__(
        self, network: OmniVec2, recipe: Recipe, tasks: Mapping[str, TaskData], seed: int
    ) -> None:
        super().__init__(network, recipe, tasks, seed)
        names = dict.fromkeys(network.config.heads[route].tokenizer for route in tasks)
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(seed)
            self.objective = MaskedObjective(
                network,
                self.reach,
                ratios=recipe.mask_ratios,
                literal=recipe.literal.masking,
                literal_forms=recipe.literal.masked_forms,
                tokenizers=list(names),
                decoder=recipe.network.decoder_sizes(recipe.preset),
            )

    @property
    def decoders(self) -> nn.Module:
        """One per tokenizer."""
        return self.objective.decoders


class MaskedStage(_MaskedStage):
    """Stage 1: one modality per step, all in turn, over f's transformer alone."""

    reach: Reach = "f"

    @classmethod
    def build_sampler(cls, recipe: Recipe, tasks: Mapping[str, TaskData], seed: int) -> Sampler:
        """Return a sampler that alternates between modalities."""
        return AlternatingSampler(tasks, batch_sizes(recipe, tasks), seed)

    def forward(self, batch: StepBatch) -> Losses:
        """Return the loss of one batch; its targets are not used."""
        (stream,) = batch.streams
        with self.autocast():
            generator = self.generator(batch, per_micro_batch=True)
            loss = self.objective.single(stream.route, stream.inputs, generator)
        return [(stream.route, loss)]


class MaskedPairStage(_MaskedStage):
    """Stage 2: two modalities per step through f, cross-attention and g; no balancing."""

    reach: Reach = "g"

    @classmethod
    def build_sampler(cls, recipe: Recipe, tasks: Mapping[str, TaskData], seed: int) -> Sampler:
        """Return a sampler of pairs by the root of the modalities' sizes."""
        return RootPairSampler(tasks, batch_sizes(recipe, tasks), seed)

    def forward(self, batch: StepBatch) -> Losses:
        """Return both losses; targets are not used."""
        first, second = batch.streams
        keep = 1.0 - self.recipe.cross_attention_drop
        gates = self.gates(batch, keep, self.generator(batch))
        generator = self.generator(batch, per_micro_batch=True)
        with self.autocast():
            losses = self.objective.pair(
                (first.route, second.route), (first.inputs, second.inputs), gates, generator
            )
        return [(first.route, losses[0]), (second.route, losses[1])]
