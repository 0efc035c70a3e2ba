"""Hyperspectral scenes: the spectra of a pixel and its neighbours."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pydantic import JsonValue
from torch import Tensor

from omnivec2.network.tokenizers import AnyTokenizerConfig
from omnivec2.network.tokenizers.series import (
    HyperspectralTokenizer,
    HyperspectralTokenizerConfig,
)
from omnivec2.preprocess import Array, Preprocessor, Sample
from omnivec2.preprocess.hyperspectral import HyperspectralPreprocessor
from omnivec2.spec import HeadSpec, TaskFamily
from omnivec2.training.adaptation.adaptation_rules import AdaptationRules, parameters_differ
from omnivec2.training.adaptation.reading.labelled_rows import Pixel, Row, Scene, Value
from omnivec2.training.data import augmentation
from omnivec2.training.data.base import Augment, TaskData
from omnivec2.training.data.sets.hyperspectral import TASKS
from omnivec2.training.data.table_files import as_name, is_number
from omnivec2.training.evaluation.plain_features import feature_rows
from omnivec2.training.masked.restoration import (
    Inputs,
    Restoration,
    every_token,
    normalised,
    square_error,
)
from omnivec2.training.modalities.base import ModalityTraining
from omnivec2.training.pictures.input_drawings import Drawing
from omnivec2.training.structure.training_arrays import evenly_chosen

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_UNLABELLED = "0"
"""The class of the pixels of a scene without a label, by the custom of such scenes."""


class HyperspectralRestoration(Restoration[HyperspectralTokenizer]):
    """``window`` (B, 7, 7, bands): groups of bands are hidden in all pixels of the window."""

    def __init__(self, tokenizer: HyperspectralTokenizer) -> None:
        super().__init__(tokenizer)
        self.outputs = tokenizer.project.in_features

    def maskable(self, inputs: Inputs) -> Tensor:
        """Return a mask of every group of bands."""
        return every_token(inputs, self.tokenizer.count)

    def hide(self, inputs: Inputs, hidden_BN: Tensor, generator: torch.Generator) -> Inputs:
        """Set hidden bands to 0, which also keeps them out of the search for holes."""
        del generator
        window = inputs["window"]
        hidden = hidden_BN.repeat_interleave(self.tokenizer.group, dim=1)[:, : window.shape[3]]
        return {"window": window.masked_fill(hidden[:, None, None], 0.0)}

    def places(self, inputs: Inputs) -> Tensor:
        """Return the tokenizer's positions."""
        del inputs
        return self.tokenizer.positions((self.tokenizer.count,))[None]

    def loss(self, predicted_BNP: Tensor, inputs: Inputs, hidden_BN: Tensor) -> Tensor:
        """Return the l2 error of groups that are normalised one by one, as with pictures."""
        wanted = normalised(self.tokenizer.groups(inputs["window"]))
        return square_error(predicted_BNP, wanted, hidden_BN)


class HyperspectralRules(AdaptationRules):
    """The rules of spectra, whose bands may be others than those of the base.

    An input is a pixel of a labelled scene, a spectrum in a table's row, or a file.
    """

    search_seconds = 90.0
    class_family = TaskFamily.SEGMENTATION  # a class per pixel

    def input_columns(self, path: Path, columns: Sequence[str]) -> list[str]:
        """Return all columns: they are the bands."""
        del path
        return list(columns)

    def row_value(self, columns: Sequence[str], cells: Sequence[Any], folder: Path) -> Value:
        """Return the spectrum of a row; a single cell is the path of a file."""
        if len(columns) == 1:
            return super().row_value(columns, cells, folder)
        # A cell that is no number is reported, with its row, when the spectrum is decoded.
        return np.array([[float(cell) if is_number(cell) else np.nan for cell in cells]])

    def scene_rows(self, path: Path, values: Array, labels: Array) -> list[Row] | None:
        """Return the labelled pixels of a cube (height, width, bands)."""
        if not labels.shape == values.shape[:2] != (1,):
            return None
        scene = Scene(values)
        names = [as_name(cell) for cell in labels.ravel().tolist()]
        return [
            Row(f"{path.name}, pixel {index + 1}", Pixel(scene, index), name)
            for index, name in enumerate(names)
            if name != _UNLABELLED
        ]

    def parameters_from_data(
        self, rows: Sequence[Row], base: HeadSpec, given: Collection[str]
    ) -> dict[str, JsonValue]:
        """Return the number of bands of a scene or a spectrum, whose sensor is not known."""
        del base, given
        value = rows[0].value
        if isinstance(value, Pixel):
            return {"bands": int(value.scene.cube.shape[-1]), "sensor": None}
        if isinstance(value, np.ndarray):
            return {"bands": int(value.shape[-1]), "sensor": None}
        return {"sensor": None}

    def needs_own_tokenizer(self, preprocessor: Preprocessor[Any, Any], base: HeadSpec) -> bool:
        """Whether bands or window are others than the base's."""
        same_sensor = {"sensor": preprocessor.parameters.sensor}
        return parameters_differ(preprocessor, {**base.preprocess.parameters, **same_sensor})

    def augmentation(self, samples: Sequence[Sample]) -> Augment | None:
        """Return turned windows and other light."""
        del samples
        return augmentation.hyperspectral


class HyperspectralTraining(ModalityTraining):
    """Training on hyperspectral scenes: ``window`` (side, side, bands)."""

    def tokenizer_config(self, task: TaskData) -> AnyTokenizerConfig:
        """Return the sizes for the task's windows and bands."""
        window = task.splits["train"].samples[0]["window"]
        return HyperspectralTokenizerConfig(bands=window.shape[2], window=window.shape[0])

    def tokenizer_constants(self, task: TaskData) -> Mapping[str, Array]:
        """Return the least value and the range of every band, over the middle pixels."""
        window = evenly_chosen(task, "window")
        centre = window[:, window.shape[1] // 2, window.shape[2] // 2]
        low = centre.min(axis=0)
        return {"low": low, "span": np.maximum(centre.max(axis=0) - low, 1e-6)}

    def plain_features(self, samples: Sequence[Sample]) -> Any:
        """Return the spectrum of the pixel and the mean spectrum of its window."""
        return feature_rows(_spectra, samples)


def _spectra(sample: Sample) -> Array:
    window = sample["window"]
    middle = len(window) // 2
    return np.concatenate([window[middle, middle], window.mean(axis=(0, 1))])


def _draw(axes: Axes, sample: Sample) -> None:
    """Draw the pixel in the middle of the window, band by band."""
    window = sample["window"]
    middle = len(window) // 2
    axes.plot(window[middle, middle], linewidth=0.8)


TRAINING = HyperspectralTraining(
    preprocessor=HyperspectralPreprocessor,
    data_sets=TASKS,
    mask_ratio=0.40,
    restoration=HyperspectralRestoration,
    display=Drawing(_draw),
    adaptation=HyperspectralRules(),
    has_tokenizer_per_size=True,
)
