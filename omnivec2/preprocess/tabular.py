"""Tables of mixed columns -> numbers, a mask of missing numbers, and category ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.base import (
    Array,
    Parameters,
    Prepared,
    input_shape,
)
from omnivec2.preprocess.formats.tables.binary_tables import is_binary_table
from omnivec2.preprocess.formats.tables.frame import MISSING_TEXTS, Frame
from omnivec2.preprocess.formats.tables.table_preprocessor import TablePreprocessor
from omnivec2.spec import HeadSpec, Limits, Modality, TensorSpec

MISSING_ID = 0
UNKNOWN_ID = 1
FIRST_ID = 2
"""Category ids: 0 is missing, 1 was never seen in training, the schema's start at 2."""


class Column(BaseModel):
    """One column of the schema; ``mean`` and ``std`` are those of the training rows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: Literal["number", "category"]
    categories: tuple[str, ...] = ()
    mean: float = 0.0
    std: float = Field(default=1.0, gt=0)

    @model_validator(mode="after")
    def _only_categories_have_categories(self) -> Column:
        if (self.kind == "category") != bool(self.categories):
            raise ValueError(f"column {self.name!r}: categories belong to kind 'category' only")
        return self


class TabularParameters(Parameters):
    """Frozen parameters of the tabular preprocessor: the schema."""

    columns: tuple[Column, ...] = Field(min_length=1)

    @property
    def numbers(self) -> tuple[Column, ...]:
        """The columns of ``numbers`` and ``missing``, in order."""
        return tuple(column for column in self.columns if column.kind == "number")

    @property
    def categories(self) -> tuple[Column, ...]:
        """The columns of ``categories``, in order."""
        return tuple(column for column in self.columns if column.kind == "category")


@dataclass(frozen=True)
class Table:
    """The rows to predict and the form of answer that the caller expects.

    Attributes:
        frame: The columns; those not in the schema are ignored.
        form: The form of the request, ``"table"`` (Hugging Face's tabular task) or
            ``"inputs"``.
    """

    frame: Frame
    form: Literal["table", "inputs"] = "inputs"

    @classmethod
    def of(cls, columns: Mapping[str, Sequence[Any] | Array]) -> Table:
        """Build a table from arrays or lists in memory."""
        return cls(Frame.of(columns))


class TabularPreprocessor(TablePreprocessor[TabularParameters, Table]):
    """CSV, Parquet or JSON -> one sample per row."""

    modality = Modality.TABULAR
    parameters_type = TabularParameters
    default_limits = Limits(bytes=4 * 2**20, decoded_bytes=64 * 2**20, rows=5_000, columns=512)
    text_numbers = True

    def __init__(self, parameters: TabularParameters, limits: Limits | None = None) -> None:
        super().__init__(parameters, limits)
        # Looked up once, not for every row.
        self._names = [column.name for column in parameters.columns]
        self._numbers = [column.name for column in parameters.numbers]
        self._ids = {column.name: _ids_of(column) for column in parameters.categories}

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """``numbers`` float32, ``missing`` uint8 and ``categories`` int32, one per column."""
        numbers, categories = len(self.parameters.numbers), len(self.parameters.categories)
        return (
            TensorSpec(name="numbers", dtype="float32", shape=(numbers,)),
            TensorSpec(name="missing", dtype="uint8", shape=(numbers,)),
            TensorSpec(name="categories", dtype="int32", shape=(categories,)),
        )

    @classmethod
    def random_inputs(
        cls, head: HeadSpec, batch: int, lengths: Mapping[str, int], rng: np.random.Generator
    ) -> dict[str, Array]:
        """Draw rows that follow the declared columns, a tenth of the numbers missing."""
        parameters = TabularParameters.model_validate(head.preprocess.parameters)
        shape = (batch, *input_shape(head, "numbers"))
        mean = np.array([column.mean for column in parameters.numbers])
        std = np.array([column.std for column in parameters.numbers])
        numbers = rng.normal(size=shape) * std + mean
        missing = rng.random(shape) < 0.1
        ids = [FIRST_ID + len(column.categories) for column in parameters.categories]
        categories = rng.integers(0, ids, (batch, *input_shape(head, "categories")))
        return {"numbers": numbers * ~missing, "missing": missing, "categories": categories}

    def decode_json(self, value: JsonValue) -> Table:
        """Decode ``{"table": {column: values}}``, columns, row objects or one row object."""
        table = super().decode_json(value)
        if isinstance(value, dict) and list(value) == ["table"]:
            return replace(table, form="table")
        return table

    @property
    def json_example(self) -> JsonValue:
        """One row: the mean of every number, the first of every category."""
        row: dict[str, JsonValue] = {
            column.name: column.categories[0] if column.categories else round(column.mean, 2)
            for column in self.parameters.columns
        }
        return [row]

    def from_frame(self, frame: Frame) -> Table:
        """Wrap the frame as it is; ``prepare`` checks the schema."""
        return Table(frame)

    def is_native(self, value: bytes | JsonValue) -> bool:
        """Return whether it is a binary table: text is read in Python."""
        return is_binary_table(value)

    def prepare(self, native: Table) -> Prepared:
        """Make one sample per row; missing numbers become 0, not the mean of their column."""
        frame = native.frame
        frame.require(self._names)
        if not frame.rows:
            raise InvalidInputError("table is empty", field="inputs")
        rows = frame.rows
        numbers = _stack_columns([frame.numbers(name) for name in self._numbers], rows)
        missing = np.isnan(numbers)
        arrays: dict[str, Array] = {
            "numbers": np.where(missing, 0.0, numbers).astype(np.float32),
            "missing": missing.astype(np.uint8),
            "categories": _stack_columns(
                [_category_ids(frame.texts(name), ids) for name, ids in self._ids.items()], rows
            ).astype(np.int32),
        }
        samples = [{name: array[row] for name, array in arrays.items()} for row in range(rows)]
        return Prepared(samples, {"form": native.form, "reduce": "each"})


def _stack_columns(columns: list[Array], rows: int) -> Array:
    """Return columns side by side as one array (rows, columns)."""
    return np.stack(columns, axis=1) if columns else np.empty((rows, 0))


def _ids_of(column: Column) -> dict[str, int]:
    return {category: FIRST_ID + index for index, category in enumerate(column.categories)}


def _category_ids(texts: list[str | None], known: Mapping[str, int]) -> Array:
    return np.array([_category_id(text, known) for text in texts])


def _category_id(text: str | None, known: Mapping[str, int]) -> int:
    if text is None:
        return MISSING_ID
    # The schema comes first: it may well have a category "none" or "?".
    if text in known:
        return known[text]
    return MISSING_ID if text.lower() in MISSING_TEXTS else UNKNOWN_ID


PREPROCESSOR = TabularPreprocessor
