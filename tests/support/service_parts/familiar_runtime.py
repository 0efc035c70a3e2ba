"""A runtime whose head knows what its training data look like to the trunk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from omnivec2.arrays import Array
from omnivec2.familiarity import Familiarity
from omnivec2.familiarity.fit_reference import fit_reference
from omnivec2.spec import HeadSpec
from service.runtimes.base import Inference, Model
from tests.support.service_parts.service_fakes import FakeRuntime

SUMMARY, WIDTH = "f_mean", 6


def summary_rows(count: int, seed: int, shift: float = 0.0) -> dict[str, Array]:
    """Summaries of inputs of one kind; of another, if they are shifted."""
    rng = np.random.default_rng(seed)
    return {SUMMARY: rng.normal(shift, 1.0, (count, WIDTH)).astype(np.float32)}


class FamiliarRuntime(FakeRuntime):
    """Draws the trunk's summary of every row.

    Attributes:
        shift: by how much summaries differ from those of the reference.
    """

    def __init__(self, *specs: HeadSpec) -> None:
        super().__init__(*specs)
        scores = np.random.default_rng(3).uniform(0.5, 1.0, (200, 1)) * [[1.0, 0.0]]
        reference = fit_reference(
            summary_rows(300, 1), summary_rows(200, 2), scores=scores, dimensions=3
        )
        familiarity = Familiarity(reference)
        self._models = {
            name: replace(model, familiarity=familiarity) for name, model in self._models.items()
        }
        self.shift = 0.0
        self._rng = np.random.default_rng(5)

    async def infer(self, model: Model, inputs: Mapping[str, Array]) -> Inference:
        given = await super().infer(model, inputs)
        rows = len(next(iter(given.outputs.values())))
        summary = self._rng.normal(self.shift, 1.0, (rows, WIDTH)).astype(np.float32)
        return replace(given, outputs={**given.outputs, SUMMARY: summary})
