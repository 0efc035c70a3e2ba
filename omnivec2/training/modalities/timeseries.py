"""Time series: windows of one channel, to be continued."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pydantic import JsonValue
from torch import Tensor

from omnivec2.errors import InvalidInputError
from omnivec2.network.tokenizers import AnyTokenizerConfig
from omnivec2.network.tokenizers.series import TimeSeriesTokenizer, TimeSeriesTokenizerConfig
from omnivec2.preprocess import Array, Preprocessor, Sample
from omnivec2.preprocess.timeseries import TimeseriesPreprocessor
from omnivec2.spec import HeadSpec
from omnivec2.training.adaptation.adaptation_rules import AdaptationRules
from omnivec2.training.adaptation.reading.labelled_rows import Row
from omnivec2.training.data.base import TaskData
from omnivec2.training.data.sets.timeseries import TASKS
from omnivec2.training.data.table_files import read_table
from omnivec2.training.evaluation.plain_features import feature_rows
from omnivec2.training.masked.restoration import Inputs, Restoration, every_token, square_error
from omnivec2.training.modalities.base import ModalityTraining
from omnivec2.training.pictures.input_drawings import Drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SERIES_SPAN = 4
"""Patches overlap by half: only a run of them hides more than their neighbours show."""


class TimeSeriesRestoration(Restoration[TimeSeriesTokenizer]):
    """``values`` (B, context): only values that no visible patch covers are counted."""

    span = _SERIES_SPAN

    def __init__(self, tokenizer: TimeSeriesTokenizer) -> None:
        super().__init__(tokenizer)
        self.outputs = tokenizer.patch

    def maskable(self, inputs: Inputs) -> Tensor:
        """Return a mask of every patch."""
        return every_token(inputs, self.tokenizer.count)

    def hidden_values(self, hidden_BN: Tensor) -> Tensor:
        """Return a mask of the values that only hidden patches cover, with padding: (B, T)."""
        patch, stride, count = self.tokenizer.patch, self.tokenizer.stride, self.tokenizer.count
        seen = torch.zeros(
            len(hidden_BN), (count - 1) * stride + patch, dtype=torch.bool, device=hidden_BN.device
        )
        for index in range(count):
            seen[:, index * stride : index * stride + patch] |= ~hidden_BN[:, index, None]
        return ~seen

    def hide(self, inputs: Inputs, hidden_BN: Tensor, generator: torch.Generator) -> Inputs:
        """Set hidden values to the mean of the others: the scale must not reveal them."""
        del generator
        values = inputs["values"]
        hidden = self.hidden_values(hidden_BN)[:, : values.shape[1]]
        seen = (~hidden).to(values.dtype)
        mean = (values * seen).sum(1, keepdim=True) / seen.sum(1, keepdim=True).clamp(min=1)
        return {"values": torch.where(hidden, mean, values)}

    def places(self, inputs: Inputs) -> Tensor:
        """Return the tokenizer's positions."""
        del inputs
        return self.tokenizer.positions((self.tokenizer.count,))[None]

    def loss(self, predicted_BNP: Tensor, inputs: Inputs, hidden_BN: Tensor) -> Tensor:
        """Return the l2 error in the normalisation of the visible part of the series."""
        known = self.hide(inputs, hidden_BN, torch.Generator())["values"]
        location, scale, _ = self.tokenizer.normalised(known)
        wanted = self.tokenizer.patches((inputs["values"] - location) / scale)
        hidden = self.hidden_values(hidden_BN)
        counted = hidden.unfold(1, self.tokenizer.patch, self.tokenizer.stride)
        return square_error(predicted_BNP, wanted, counted & hidden_BN[..., None])


_SHORTEST_SERIES = 16
"""Steps of the tokenizer's patch."""

_LONGEST_SERIES = 1024
"""Steps of a series that are read unless the request names more."""


class TimeSeriesRules(AdaptationRules):
    """The rules of series, of which a class, a quantity or the next steps are answered."""

    def parameters_from_data(
        self, rows: Sequence[Row], base: HeadSpec, given: Collection[str]
    ) -> dict[str, JsonValue]:
        """Return the length of the shortest series, which is what is read of all of them."""
        del base
        if "context_length" in given:
            return {}
        lengths = {row.where: _steps(row) for row in rows}
        where = min(lengths, key=lambda name: lengths[name])
        if lengths[where] < _SHORTEST_SERIES:
            raise InvalidInputError(
                f"{where}: a series of {lengths[where]} steps; at least {_SHORTEST_SERIES} are "
                "needed: take it out, or give rows of numbers as a table (--modality tabular)"
            )
        return {"context_length": min(lengths[where], _LONGEST_SERIES)}

    def needs_own_tokenizer(self, preprocessor: Preprocessor[Any, Any], base: HeadSpec) -> bool:
        """Whether series are of another length than the base's."""
        return bool(preprocessor.inputs != base.inputs)


def _steps(row: Row) -> int:
    """Return the number of steps of a series."""
    value = row.value
    if isinstance(value, Path):
        return read_table(value).rows
    if isinstance(value, np.ndarray):
        return len(value)
    series = value.get("target") if isinstance(value, dict) else value
    if not isinstance(series, list):
        raise InvalidInputError(f"{row.where}: expected a series of numbers")
    return len(series)


class TimeSeriesTraining(ModalityTraining):
    """Training on time series: ``values`` (context,)."""

    def tokenizer_config(self, task: TaskData) -> AnyTokenizerConfig:
        """Return the sizes for the task's windows."""
        (context,) = task.splits["train"].samples[0]["values"].shape
        return TimeSeriesTokenizerConfig(context_length=context)

    def plain_features(self, samples: Sequence[Sample]) -> Any:
        """Return the values as they are."""
        return feature_rows(_values, samples)


def _values(sample: Sample) -> Array:
    return sample["values"]


def _draw(axes: Axes, sample: Sample) -> None:
    axes.plot(sample["values"], linewidth=0.8)


TRAINING = TimeSeriesTraining(
    preprocessor=TimeseriesPreprocessor,
    data_sets=TASKS,
    mask_ratio=0.40,
    restoration=TimeSeriesRestoration,
    display=Drawing(_draw),
    adaptation=TimeSeriesRules(),
    has_tokenizer_per_size=True,
)
