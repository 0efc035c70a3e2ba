"""Pressure readings of a barometer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from omnivec2.network.tokenizers.toy import ToyTokenizer, ToyTokenizerConfig
from omnivec2.preprocess.toy import ToyPreprocessor
from omnivec2.training.data.sets.toy import TASKS
from torch import Tensor

from omnivec2.network.tokenizers import AnyTokenizerConfig
from omnivec2.preprocess import Array, Sample
from omnivec2.training.adaptation.adaptation_rules import AdaptationRules
from omnivec2.training.data.base import TaskData
from omnivec2.training.evaluation.plain_features import feature_rows
from omnivec2.training.masked.restoration import Inputs, Restoration, every_token, square_error
from omnivec2.training.modalities.base import ModalityTraining
from omnivec2.training.pictures.input_drawings import Drawing
from omnivec2.training.structure.training_arrays import evenly_chosen

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class ToyRestoration(Restoration[ToyTokenizer]):
    """``pressure`` (B, N): hidden readings are to be restored."""

    outputs = 1

    def maskable(self, inputs: Inputs) -> Tensor:
        """Return a mask of every reading."""
        return every_token(inputs, self.tokenizer.readings)

    def hide(self, inputs: Inputs, hidden_BN: Tensor, generator: torch.Generator) -> Inputs:
        """Replace hidden readings by the mean of the others."""
        del generator
        pressure, seen = inputs["pressure"], (~hidden_BN).float()
        mean = (pressure * seen).sum(1, keepdim=True) / seen.sum(1, keepdim=True).clamp(min=1)
        return {"pressure": torch.where(hidden_BN, mean, pressure)}

    def places(self, inputs: Inputs) -> Tensor:
        """Return the tokenizer's positions."""
        del inputs
        return self.tokenizer.positions((self.tokenizer.readings,))[None]

    def loss(self, predicted_BNP: Tensor, inputs: Inputs, hidden_BN: Tensor) -> Tensor:
        """Return the squared error at hidden readings."""
        wanted = self.tokenizer.scaled(inputs["pressure"])[..., None]
        return square_error(predicted_BNP, wanted, hidden_BN)


class ToyTraining(ModalityTraining):
    """Training on pressure readings: ``pressure`` (readings,)."""

    def tokenizer_config(self, task: TaskData) -> AnyTokenizerConfig:
        """Return the sizes for the task's number of readings."""
        return ToyTokenizerConfig(readings=len(task.splits["train"].samples[0]["pressure"]))

    def tokenizer_constants(self, task: TaskData) -> Mapping[str, Array]:
        """Return the deviation of readings from the mean of their series."""
        pressure = evenly_chosen(task, "pressure")
        return {"std": (pressure - pressure.mean(axis=1, keepdims=True)).std(keepdims=True)[0]}

    def plain_features(self, samples: Sequence[Sample]) -> Any:
        """Return the readings."""
        return feature_rows(lambda sample: sample["pressure"], samples)


def _draw(axes: Axes, sample: Sample) -> None:
    axes.plot(np.arange(len(sample["pressure"])), sample["pressure"])


TRAINING = ToyTraining(
    preprocessor=ToyPreprocessor,
    data_sets=TASKS,
    mask_ratio=0.25,
    restoration=ToyRestoration,
    display=Drawing(_draw),
    adaptation=AdaptationRules(),
)
