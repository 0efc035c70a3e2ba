"""Infrared pictures: one channel, seen from above."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from omnivec2.network.tokenizers import AnyTokenizerConfig
from omnivec2.preprocess import Array, Sample
from omnivec2.preprocess.infrared import InfraredPreprocessor
from omnivec2.spec import Modality
from omnivec2.training.adaptation.adaptation_rules import AdaptationRules
from omnivec2.training.data.base import TaskData
from omnivec2.training.data.sets.infrared import TASKS
from omnivec2.training.evaluation.plain_features import feature_rows, pooled
from omnivec2.training.masked.patch_restoration import GrayRestoration
from omnivec2.training.modalities.base import ModalityTraining
from omnivec2.training.pictures.input_drawings import Drawing, draw_pixels
from omnivec2.training.structure.visual_sizes import visual_tokenizer_config


class InfraredTraining(ModalityTraining):
    """Training on infrared pictures: ``pixels`` (H, W, 1)."""

    def tokenizer_config(self, task: TaskData) -> AnyTokenizerConfig:
        """Return the sizes for the task's pictures."""
        height, width = task.splits["train"].samples[0]["pixels"].shape[:2]
        return visual_tokenizer_config(Modality.INFRARED, (1, height, width), grid=(1, 4, 4))

    def plain_features(self, samples: Sequence[Sample]) -> Any:
        """Return the pictures at 32 x 32 pixels."""
        return feature_rows(_thumbnail, samples)


def _thumbnail(sample: Sample) -> Array:
    return pooled(sample["pixels"], 32, 32).ravel()


TRAINING = InfraredTraining(
    preprocessor=InfraredPreprocessor,
    data_sets=TASKS,
    mask_ratio=0.75,
    restoration=GrayRestoration,
    display=Drawing(draw_pixels),
    adaptation=AdaptationRules(),
)
