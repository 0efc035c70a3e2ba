"""Inertial sensors: windows of samples over the channels of a recording."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pydantic import JsonValue
from torch import Tensor

from omnivec2.errors import InvalidInputError
from omnivec2.network.tokenizers import AnyTokenizerConfig
from omnivec2.network.tokenizers.series import ImuTokenizer, ImuTokenizerConfig
from omnivec2.preprocess import Array, Preprocessor, Sample
from omnivec2.preprocess.formats.tables.frame import Frame
from omnivec2.preprocess.formats.tables.time_axis import find_time_column
from omnivec2.preprocess.imu import ImuParameters, ImuPreprocessor
from omnivec2.spec import HeadSpec, PreprocessSpec
from omnivec2.training.adaptation.adaptation_rules import (
    INPUT_NAMES,
    AdaptationRules,
    parameters_differ,
)
from omnivec2.training.adaptation.frozen_network import Base
from omnivec2.training.adaptation.reading.labelled_rows import Row
from omnivec2.training.data import augmentation
from omnivec2.training.data.base import Augment, TaskData
from omnivec2.training.data.sets.imu import TASKS
from omnivec2.training.data.table_files import read_table
from omnivec2.training.evaluation.plain_features import feature_rows
from omnivec2.training.masked.restoration import Inputs, Restoration, every_token, square_error
from omnivec2.training.modalities.base import ModalityTraining
from omnivec2.training.pictures.input_drawings import Drawing
from omnivec2.training.structure.training_arrays import evenly_chosen

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_AXES = 3
"""Channels of a motion sensor come in threes, which a small rotation of it mixes."""


class ImuRestoration(Restoration[ImuTokenizer]):
    """``signal`` (B, window, channels); runs do not overlap."""

    def __init__(self, tokenizer: ImuTokenizer) -> None:
        super().__init__(tokenizer)
        self.outputs = tokenizer.patch * len(tokenizer.mean)

    def maskable(self, inputs: Inputs) -> Tensor:
        """Return a mask of every run."""
        return every_token(inputs, self.tokenizer.count)

    def hide(self, inputs: Inputs, hidden_BN: Tensor, generator: torch.Generator) -> Inputs:
        """Set hidden runs to every channel's mean."""
        del generator
        hidden = hidden_BN.repeat_interleave(self.tokenizer.patch, dim=1)[..., None]
        return {"signal": torch.where(hidden, self.tokenizer.mean, inputs["signal"])}

    def places(self, inputs: Inputs) -> Tensor:
        """Return the tokenizer's positions."""
        del inputs
        return self.tokenizer.positions((self.tokenizer.count,))[None]

    def loss(self, predicted_BNP: Tensor, inputs: Inputs, hidden_BN: Tensor) -> Tensor:
        """Return the l2 error in deviations of each channel: strength must be restored too."""
        wanted = self.tokenizer.runs(inputs["signal"]).float()
        return square_error(predicted_BNP, wanted, hidden_BN)


class ImuRules(AdaptationRules):
    """The rules of recordings, whose channels may be others than those of the base."""

    search_seconds = 90.0

    def input_columns(self, path: Path, columns: Sequence[str]) -> list[str]:
        """Return the column of paths; a table of samples needs a column that groups them."""
        if len(columns) > 1 and not set(columns) & set(INPUT_NAMES):
            raise InvalidInputError(
                f"{path}: give --group, the column that tells one recording from the next, or "
                f"--input, the column of paths; the table has {', '.join(map(repr, columns))}"
            )
        return super().input_columns(path, columns)

    def rows_are_moments(self, frame: Frame, columns: Sequence[str]) -> bool:
        """Whether columns are channels of sensors, and not the paths of recordings."""
        has_paths = bool({name.lower() for name in columns} & set(INPUT_NAMES))
        return not has_paths and any(frame.is_numeric(name) for name in columns)

    def parameters_from_data(
        self, rows: Sequence[Row], base: HeadSpec, given: Collection[str]
    ) -> dict[str, JsonValue]:
        """Return the names of the channels, where they are not those of the base."""
        return {} if "channels" in given else _channels_in(rows[0], base)

    def needs_own_tokenizer(self, preprocessor: Preprocessor[Any, Any], base: HeadSpec) -> bool:
        """Whether channels, window or rate are others than the base's."""
        return parameters_differ(preprocessor, base.preprocess.parameters)

    def start_projection(self, own: Tensor, known: Tensor, base: Base, task: TaskData) -> None:
        """Copy the weights of channels that both have; those of other channels stay as drawn."""
        config = base.config.tokenizers[base.tokenizer]
        assert isinstance(config, ImuTokenizerConfig)
        channels, base_channels = _channels(task.preprocess), _channels(base.head.preprocess)
        source = known.reshape(len(known), config.patch, len(base_channels))
        if own.numel() != len(known) * config.patch * len(channels):
            return
        target = own.reshape(len(known), config.patch, len(channels))
        for index, name in enumerate(channels):
            if name in base_channels:
                target[:, :, index] = source[:, :, base_channels.index(name)]

    def augmentation(self, samples: Sequence[Sample]) -> Augment | None:
        """Return small rotations of the sensor, where channels are its three axes."""
        return augmentation.imu if samples[0]["signal"].shape[1] % _AXES == 0 else None


def _channels(spec: PreprocessSpec) -> list[str]:
    # A spec may leave out what is at its default.
    return list(ImuParameters.model_validate(spec.parameters).channels)


def _channels_in(row: Row, base: HeadSpec) -> dict[str, JsonValue]:
    """Return the channels of a recording; nothing if it has all of the base's, or no names."""
    known, value = _channels(base.preprocess), row.value
    if isinstance(value, np.ndarray):
        count = value.shape[-1]
        if count == len(known):
            return {}
        return {"channels": [f"channel_{number}" for number in range(1, count + 1)]}
    if isinstance(value, Path):
        frame = read_table(value)
    elif isinstance(value, dict):
        frame = Frame.of(
            {name: column for name, column in value.items() if isinstance(column, list)}
        )
    else:
        raise InvalidInputError(f"{row.where}: expected a recording, a table of channels")
    if not frame.named or set(known) <= set(frame.columns):
        return {}
    time = find_time_column(frame)
    names = [name for name in frame.columns if name != time and frame.is_numeric(name)]
    return {"channels": list(names)}


class ImuTraining(ModalityTraining):
    """Training on recordings of inertial sensors: ``signal`` (window, channels)."""

    def tokenizer_config(self, task: TaskData) -> AnyTokenizerConfig:
        """Return the sizes for the task's windows and channels."""
        window, channels = task.splits["train"].samples[0]["signal"].shape
        return ImuTokenizerConfig(window=window, channels=channels)

    def tokenizer_constants(self, task: TaskData) -> Mapping[str, Array]:
        """Return mean and deviation of every channel."""
        signal = evenly_chosen(task, "signal")
        signal = signal.reshape(-1, signal.shape[-1])
        return {"mean": signal.mean(axis=0), "std": signal.std(axis=0) + 1e-6}

    def plain_features(self, samples: Sequence[Sample]) -> Any:
        """Return the samples, and mean and deviation of every channel."""
        return feature_rows(_features, samples)


def _features(sample: Sample) -> Array:
    signal = sample["signal"]
    return np.concatenate([signal.ravel(), signal.mean(axis=0), signal.std(axis=0)])


def _draw(axes: Axes, sample: Sample) -> None:
    axes.plot(sample["signal"], linewidth=0.6)


TRAINING = ImuTraining(
    preprocessor=ImuPreprocessor,
    data_sets=TASKS,
    mask_ratio=0.40,
    restoration=ImuRestoration,
    display=Drawing(_draw),
    adaptation=ImuRules(),
    has_tokenizer_per_size=True,
)
