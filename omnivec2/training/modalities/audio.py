"""Audio: log-mel spectrograms, read as pictures of one channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from omnivec2.network.tokenizers import AnyTokenizerConfig
from omnivec2.network.tokenizers.visual import AUDIOSET_MEAN, AUDIOSET_STD
from omnivec2.preprocess import Array, Sample
from omnivec2.preprocess.audio import AudioPreprocessor
from omnivec2.spec import Modality
from omnivec2.training.adaptation.adaptation_rules import AdaptationRules
from omnivec2.training.data.base import TaskData
from omnivec2.training.data.sets.audio import TASKS
from omnivec2.training.evaluation.plain_features import feature_rows, pooled
from omnivec2.training.masked.patch_restoration import FrameRestoration
from omnivec2.training.masked.restoration import Inputs
from omnivec2.training.modalities.base import ModalityTraining
from omnivec2.training.pictures.input_drawings import Drawing
from omnivec2.training.structure.visual_sizes import visual_tokenizer_config

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class AudioRestoration(FrameRestoration):
    """``fbank`` (B, frames, mel): time downwards, frequency across."""

    name = "fbank"
    channels = 1
    mean, std = (AUDIOSET_MEAN,), (AUDIOSET_STD,)
    levels = 1.0

    def frames(self, inputs: Inputs) -> Tensor:
        """Return spectrograms as single frames of one channel."""
        return inputs[self.name][:, None, :, :, None]


class AudioTraining(ModalityTraining):
    """Training on audio: ``fbank`` (frames, mel bins)."""

    def tokenizer_config(self, task: TaskData) -> AnyTokenizerConfig:
        """Return the sizes for the task's spectrograms."""
        height, width = task.splits["train"].samples[0]["fbank"].shape
        return visual_tokenizer_config(
            Modality.AUDIO, (1, height, width), grid=(1, 16, 4), tubelet=(1, 2, 2)
        )

    def plain_features(self, samples: Sequence[Sample]) -> Any:
        """Return a smaller spectrogram, and mean and deviation of every frequency."""
        return feature_rows(_spectrum, samples)


def _spectrum(sample: Sample) -> Array:
    fbank = sample["fbank"]
    flat = pooled(fbank, len(fbank) // 16, fbank.shape[1] // 4).ravel()
    return np.concatenate([flat, fbank.mean(axis=0), fbank.std(axis=0)])


def _draw(axes: Axes, sample: Sample) -> None:
    """Draw the spectrogram, time to the right and frequency upwards."""
    axes.imshow(sample["fbank"].T, origin="lower", aspect="auto", cmap="magma")


TRAINING = AudioTraining(
    preprocessor=AudioPreprocessor,
    data_sets=TASKS,
    mask_ratio=0.80,
    literal_mask_ratio=0.95,
    restoration=AudioRestoration,
    display=Drawing(_draw),
    adaptation=AdaptationRules(),
)
