"""Tables: rows of numbers and categories, whose columns belong to one data set."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import JsonValue
from torch import Tensor

from omnivec2.network.layers import sincos
from omnivec2.network.tokenizers import AnyTokenizerConfig
from omnivec2.network.tokenizers.tabular import TabularTokenizer, TabularTokenizerConfig
from omnivec2.preprocess import Array, Preprocessor, Sample
from omnivec2.preprocess.tabular import (
    FIRST_ID,
    MISSING_ID,
    TabularParameters,
    TabularPreprocessor,
)
from omnivec2.spec import HeadSpec
from omnivec2.training.adaptation.adaptation_rules import FEATURE_SUMMARIES, AdaptationRules
from omnivec2.training.adaptation.reading.labelled_rows import Row, Value
from omnivec2.training.data.base import TaskData
from omnivec2.training.data.blocks.statistics import record_schema
from omnivec2.training.data.sets.tabular import TASKS
from omnivec2.training.data.table_files import json_cell
from omnivec2.training.evaluation.plain_features import one_hot
from omnivec2.training.masked.field_restoration import field_sizes, relative_entropy
from omnivec2.training.masked.restoration import Inputs, Restoration
from omnivec2.training.modalities.base import ModalityTraining
from omnivec2.training.pictures.input_drawings import TableRow
from omnivec2.training.structure.training_arrays import evenly_chosen

PIECES = 16
"""Pieces of every number's range."""

_CATEGORY_IDS = 128
"""Columns of plain features per category: ids are small."""


class TabularRestoration(Restoration[TabularTokenizer]):
    """Numbers by l2 in deviations, categories by cross-entropy; missing numbers stay out."""

    def __init__(self, tokenizer: TabularTokenizer) -> None:
        super().__init__(tokenizer)
        self.numbers = len(tokenizer.mean)
        self.sizes = field_sizes(tokenizer.offsets, tokenizer.categories.num_embeddings)
        self.outputs = 1 + sum(self.sizes)

    def maskable(self, inputs: Inputs) -> Tensor:
        """Return a mask of every column, without numbers that are missing."""
        known = inputs["missing"] == 0
        return torch.cat([known, torch.ones_like(inputs["categories"], dtype=torch.bool)], dim=1)

    def hide(self, inputs: Inputs, hidden_BN: Tensor, generator: torch.Generator) -> Inputs:
        """Mark hidden cells as missing."""
        del generator
        number, category = hidden_BN[:, : self.numbers], hidden_BN[:, self.numbers :]
        return {
            "numbers": torch.where(number, self.tokenizer.mean, inputs["numbers"]),
            "missing": inputs["missing"].masked_fill(number, 1),
            "categories": inputs["categories"].masked_fill(category, 0),
        }

    def places(self, inputs: Inputs) -> Tensor:
        """Return a fixed code of the column's number: the tokenizer has no positions."""
        weight = self.tokenizer.cls
        count = self.numbers + inputs["categories"].shape[1]
        return sincos(count, len(weight)).to(weight.device)[None]

    def loss(self, predicted_BNP: Tensor, inputs: Inputs, hidden_BN: Tensor) -> Tensor:
        """Return the mean over hidden cells, about 1 per cell of either kind for a blind guess."""
        number, category = hidden_BN[:, : self.numbers], hidden_BN[:, self.numbers :]
        wanted = (inputs["numbers"] - self.tokenizer.mean) / self.tokenizer.std
        error = predicted_BNP[:, : self.numbers, 0] - wanted
        total = (error.square().masked_fill(~number, 0.0)).sum()
        guesses = torch.split(predicted_BNP[:, self.numbers :, 1:], self.sizes, dim=-1)
        for column, guess in enumerate(guesses):
            ids = inputs["categories"][:, column].long()
            total = total + relative_entropy(guess[:, column], ids, category[:, column])
        return total / hidden_BN.sum().clamp(min=1)


class TabularRules(AdaptationRules):
    """The rules of tables, whose columns are always those of the data."""

    # Tokens at their random start say nothing that the columns do not.
    summaries = (FEATURE_SUMMARIES,)
    search_seconds = 6.0
    trunk_seconds = 3.0
    starts_from_base = False

    def input_columns(self, path: Path, columns: Sequence[str]) -> list[str]:
        """Return all columns."""
        del path
        return list(columns)

    def row_value(self, columns: Sequence[str], cells: Sequence[Any], folder: Path) -> Value:
        """Return the row in its JSON form, a list of one row."""
        del folder
        row: dict[str, JsonValue] = {
            name: json_cell(cell) for name, cell in zip(columns, cells, strict=True)
        }
        return [row]

    def parameters_from_data(
        self, rows: Sequence[Row], base: HeadSpec, given: Collection[str]
    ) -> dict[str, JsonValue]:
        """Return the columns as training rows have them."""
        del base, given
        return {"columns": _columns_of(rows)}

    def needs_own_tokenizer(self, preprocessor: Preprocessor[Any, Any], base: HeadSpec) -> bool:
        """Whether another tokenizer is needed: always, as columns are the data's own."""
        del preprocessor, base
        return True


def _columns_of(rows: Sequence[Row]) -> list[Any]:
    records: list[dict[str, Any]] = []
    for row in rows:
        assert isinstance(row.value, list)
        assert isinstance(row.value[0], dict)
        records.append(row.value[0])
    return record_schema(records)


class TabularTraining(ModalityTraining):
    """Training on tables: ``numbers``, ``missing`` and ``categories`` of a row."""

    def tokenizer_config(self, task: TaskData) -> AnyTokenizerConfig:
        """Return the sizes for the columns of the task's table."""
        parameters = TabularParameters.model_validate(task.preprocess.parameters)
        return TabularTokenizerConfig(
            numbers=len(parameters.numbers),
            cardinalities=tuple(
                FIRST_ID + len(column.categories) for column in parameters.categories
            ),
            pieces=PIECES,
        )

    def tokenizer_constants(self, task: TaskData) -> Mapping[str, Array]:
        """Return mean and deviation of every number, and the edges of its pieces."""
        numbers, missing = evenly_chosen(task, "numbers"), evenly_chosen(task, "missing") > 0
        known = np.ma.masked_array(numbers.astype(np.float64), missing)
        mean = np.asarray(known.mean(axis=0).filled(0.0))
        std = np.maximum(np.asarray(known.std(axis=0).filled(1.0)), 1e-6)
        columns = [known[:, i].compressed() for i in range(known.shape[1])]
        edges = [(_edges(values) - mean[i]) / std[i] for i, values in enumerate(columns)]
        return {"mean": mean, "std": std} | ({"piecewise.edges": np.stack(edges)} if edges else {})

    def plain_features(self, samples: Sequence[Sample]) -> Any:
        """Return numbers, missing flags and one column per category."""
        numbers = np.stack([np.concatenate([s["numbers"], s["missing"]]) for s in samples])
        categories = np.stack([sample["categories"] for sample in samples])
        if categories.shape[1] == 0:
            return numbers.astype(np.float32)
        # A column of each possible id of each category, all-zero ones included.
        flat = categories + np.arange(categories.shape[1]) * _CATEGORY_IDS
        hot = one_hot(list(flat), categories.shape[1] * _CATEGORY_IDS)
        return np.concatenate([numbers, hot.toarray()], axis=1).astype(np.float32)


def _edges(values: Array) -> Array:
    """Return the edges of a column's pieces: quantiles of its values, and of its different values.

    The former give every piece as many rows, the latter separate the rare large ones where
    most rows hold the same (a capital gain of 0).
    """
    if not len(values):
        return np.linspace(-1, 1, PIECES + 1)
    half = PIECES // 2
    of_rows = np.quantile(values, np.linspace(0, 1, PIECES - half))
    of_values = np.quantile(np.unique(values), np.linspace(0, 1, half + 1))
    return np.sort(np.concatenate([of_rows, of_values]))


def _cells(sample: Sample, task: TaskData) -> dict[str, str]:
    """Return the row as it was in the table; empty where a value was missing."""
    parameters = TabularParameters.model_validate(task.preprocess.parameters)
    cells = {
        column.name: "" if missing else f"{number:g}"
        for column, number, missing in zip(
            parameters.numbers, sample["numbers"], sample["missing"], strict=True
        )
    }
    for column, index in zip(parameters.categories, sample["categories"], strict=True):
        known = column.categories[index - FIRST_ID] if index >= FIRST_ID else "(unknown)"
        cells[column.name] = "" if index == MISSING_ID else known
    return {column.name: cells[column.name] for column in parameters.columns}


TRAINING = TabularTraining(
    preprocessor=TabularPreprocessor,
    data_sets=TASKS,
    mask_ratio=0.30,
    restoration=TabularRestoration,
    display=TableRow(_cells),
    adaptation=TabularRules(),
    has_tokenizer_per_task=True,
)
