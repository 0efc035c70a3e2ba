"""Images: single frames in colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from omnivec2.network.tokenizers import AnyTokenizerConfig
from omnivec2.preprocess import Array, Sample
from omnivec2.preprocess.image import ImagePreprocessor
from omnivec2.spec import Modality
from omnivec2.training.adaptation.adaptation_rules import AdaptationRules
from omnivec2.training.data.base import TaskData
from omnivec2.training.data.sets.image import TASKS
from omnivec2.training.evaluation.plain_features import feature_rows, pooled
from omnivec2.training.masked.patch_restoration import FrameRestoration
from omnivec2.training.modalities.base import ModalityTraining
from omnivec2.training.pictures.input_drawings import Drawing, draw_pixels
from omnivec2.training.structure.visual_sizes import visual_tokenizer_config

_SCENE_GRID = (12, 16)
"""Cells of the 192 x 256 pictures of detection and segmentation."""


class ImageTraining(ModalityTraining):
    """Training on images: ``pixels`` (H, W, 3)."""

    def tokenizer_config(self, task: TaskData) -> AnyTokenizerConfig:
        """Return the sizes for the task's pictures, and for those of scenes."""
        height, width = task.splits["train"].samples[0]["pixels"].shape[:2]
        return visual_tokenizer_config(
            Modality.IMAGE, (1, height, width), grid=(1, *_SCENE_GRID), blocks=11
        )

    def plain_features(self, samples: Sequence[Sample]) -> Any:
        """Return the pictures at a third of their height and width."""
        return feature_rows(_thumbnail, samples)


def _thumbnail(sample: Sample) -> Array:
    height, width = sample["pixels"].shape[:2]
    return pooled(sample["pixels"], height // 3, width // 3).ravel()


TRAINING = ImageTraining(
    preprocessor=ImagePreprocessor,
    data_sets=TASKS,
    mask_ratio=0.75,
    literal_mask_ratio=0.95,
    restoration=FrameRestoration,
    display=Drawing(draw_pixels),
    adaptation=AdaptationRules(),
)
