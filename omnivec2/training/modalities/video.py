"""Video: clips of frames in colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from omnivec2.network.tokenizers import AnyTokenizerConfig
from omnivec2.preprocess import Array, Sample
from omnivec2.preprocess.video import VideoPreprocessor
from omnivec2.spec import Modality
from omnivec2.training.adaptation.adaptation_rules import AdaptationRules
from omnivec2.training.data.base import TaskData
from omnivec2.training.data.sets.video import TASKS
from omnivec2.training.evaluation.plain_features import feature_rows, pooled
from omnivec2.training.masked.patch_restoration import FrameRestoration
from omnivec2.training.masked.restoration import Inputs
from omnivec2.training.modalities.base import ModalityTraining
from omnivec2.training.pictures.input_drawings import Drawing, four_frames
from omnivec2.training.structure.visual_sizes import visual_tokenizer_config

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class VideoRestoration(FrameRestoration):
    """``frames`` (B, T, H, W, 3)."""

    name = "frames"

    def frames(self, inputs: Inputs) -> Tensor:
        """Return the clips as they are."""
        return inputs[self.name]


class VideoTraining(ModalityTraining):
    """Training on video: ``frames`` (T, H, W, 3)."""

    def tokenizer_config(self, task: TaskData) -> AnyTokenizerConfig:
        """Return the sizes for the task's clips."""
        count, height, width = task.splits["train"].samples[0]["frames"].shape[:3]
        return visual_tokenizer_config(
            Modality.VIDEO, (count, height, width), grid=(4, 3, 4), tubelet=(2, 2, 2)
        )

    def plain_features(self, samples: Sequence[Sample]) -> Any:
        """Return all frames at an eighth of their height and width."""
        return feature_rows(_thumbnails, samples)


def _thumbnails(sample: Sample) -> Array:
    count, height, width = sample["frames"].shape[:3]
    return pooled(sample["frames"], count, height // 8, width // 8).ravel()


def _draw(axes: Axes, sample: Sample) -> None:
    axes.imshow(four_frames(sample["frames"]))


TRAINING = VideoTraining(
    preprocessor=VideoPreprocessor,
    data_sets=TASKS,
    mask_ratio=0.90,
    literal_mask_ratio=0.95,
    restoration=VideoRestoration,
    display=Drawing(_draw),
    adaptation=AdaptationRules(),
)
