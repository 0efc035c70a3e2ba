"""Tables of mixed columns -> numbers, a mask of missing numbers, and category ids."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Mapping, Sequence
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
from omnivec2.preprocess.formats.tables.frame import FloatColumn, Frame
from omnivec2.preprocess.formats.tables.table_preprocessor import TablePreprocessor
from omnivec2.preprocess.formats.tables.values.category_spellings import CategorySpellings
from omnivec2.preprocess.formats.tables.values.column_names import match_names, plain_name
from omnivec2.preprocess.formats.tables.values.row_content import note_rows_without_content
from omnivec2.preprocess.notes import NoteCode, note
from omnivec2.spec import HeadSpec, Limits, Modality, TensorSpec

MISSING_ID = 0
UNKNOWN_ID = 1
FIRST_ID = 2
"""Category ids: 0 is missing, 1 was never seen in training, the schema's start at 2."""

UNUSUAL_DEVIATIONS = 15.0
"""Numbers further from the mean of training rows, in standard deviations, are noted. Incomes and
balances reach 13 among the training rows themselves; another unit is further out."""

_SHOWN = 3


class Column(BaseModel):
    """One column of the schema; ``mean`` and ``std`` are those of the training rows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: Literal["number", "category"]
    categories: tuple[str, ...] = ()
    mean: float = 0.0
    std: float = Field(default=1.0, gt=0)

    @property
    def is_flag(self) -> bool:
        """Whether the training rows may have held only 0 and 1."""
        is_known = {"mean", "std"} <= self.model_fields_set
        return is_known and 0 <= self.mean <= 1 and self.std <= 0.5

    @property
    def farthest(self) -> float:
        """The distance from the mean from which on a number is unusual; none without statistics."""
        is_known = {"mean", "std"} <= self.model_fields_set
        return UNUSUAL_DEVIATIONS * self.std if is_known else math.inf

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
    """CSV, Parquet, XLSX or JSON -> one sample per row."""

    modality = Modality.TABULAR
    parameters_type = TabularParameters
    default_limits = Limits(bytes=4 * 2**20, decoded_bytes=64 * 2**20, rows=5_000, columns=512)
    text_numbers = True

    def __init__(self, parameters: TabularParameters, limits: Limits | None = None) -> None:
        super().__init__(parameters, limits)
        # Looked up once, not for every row.
        self._names = [column.name for column in parameters.columns]
        self._means = np.array([column.mean for column in parameters.numbers])
        self._farthest = np.array([column.farthest for column in parameters.numbers])
        self._spellings = {
            column.name: CategorySpellings(column.categories, FIRST_ID, MISSING_ID, UNKNOWN_ID)
            for column in parameters.categories
        }

    @property
    def known_columns(self) -> Collection[str]:
        """The columns of the schema."""
        return self._names

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

    def prepare(self, native: Table) -> Prepared:
        """Make one sample per row; missing numbers become 0, not the mean of their column."""
        frame = self._columns_of_schema(native.frame)
        if not frame.rows:
            raise InvalidInputError("table is empty", field="inputs")
        rows = frame.rows
        numbers = _stack_columns([_numbers(frame, c) for c in self.parameters.numbers], rows)
        missing = np.isnan(numbers)
        self._note_unusual(numbers)
        lacking: dict[str, int] = {}
        if missing.any():
            counts = missing.sum(axis=0).tolist()
            names = [column.name for column in self.parameters.numbers]
            lacking = dict(zip(names, counts, strict=True))
        ids = [self._category_ids(frame, name, lacking) for name in self._spellings]
        if lacking:
            _note_missing(lacking)
            note_rows_without_content(missing, ids, MISSING_ID, UNKNOWN_ID)
        arrays: dict[str, Array] = {
            "numbers": np.where(missing, 0.0, numbers).astype(np.float32),
            "missing": missing.astype(np.uint8),
            "categories": _stack_columns(ids, rows).astype(np.int32),
        }
        samples = [{name: array[row] for name, array in arrays.items()} for row in range(rows)]
        return Prepared(samples, {"form": native.form, "reduce": "each"})

    def _columns_of_schema(self, frame: Frame) -> Frame:
        """Return the columns under the schema's names; what is not used of a table is noted."""
        if len(frame.columns) == len(self._names) and list(frame.columns) == self._names:
            return frame
        found = match_names(self._names, frame.columns) if frame.named else {}
        renamed = {name: frame.columns[there] for name, there in found.items()}
        others = {n: c for n, c in frame.columns.items() if n not in found.values()}
        replace(frame, columns=renamed | others).require(self._names)
        for name, there in found.items():
            if plain_name(name) != plain_name(there):
                note(
                    NoteCode.GUESSED,
                    f"column {there!r} was read as {name!r}; no unit was converted",
                    field=name,
                )
        if others:
            shown = ", ".join(map(repr, list(others)[:10])) + ", ..." * (len(others) > 10)
            note(
                NoteCode.IGNORED,
                f"columns that this head does not read were ignored: {shown}",
                count=len(others),
            )
        return replace(frame, columns=renamed)

    def _note_unusual(self, numbers: Array) -> None:
        far = np.abs(numbers - self._means) > self._farthest
        if not far.any():
            return
        for index in np.flatnonzero(far.any(axis=0)):
            column, row = self.parameters.numbers[index], int(far[:, index].argmax())
            note(
                NoteCode.UNUSUAL,
                f"column {column.name!r}: {numbers[row, index]:g} lies far outside of what this "
                f"head was trained on (mean {column.mean:.4g}, deviation {column.std:.4g}); "
                "is it in another unit?",
                field=column.name,
                count=int(far[:, index].sum()),
            )

    def _category_ids(self, frame: Frame, name: str, lacking: dict[str, int]) -> Array:
        texts = frame.texts(name)
        if (exact := self._spellings[name].exact_ids(texts)) is not None:
            return np.array(exact)
        found = self._spellings[name].ids(texts)
        lacking[name] = found.missing
        if found.read_as:
            pairs = [f"{text!r} as {category!r}" for text, category in found.read_as.items()]
            shown = ", ".join(pairs[:_SHOWN])
            note(NoteCode.CONVERTED, f"column {name!r}: {shown} was read", field=name)
        if found.unknown:
            self._note_unknown(name, found.unknown)
        return np.array(found.ids)

    def _note_unknown(self, name: str, unknown: Mapping[str, int]) -> None:
        column = next(column for column in self.parameters.categories if column.name == name)
        texts = [text[:60] for text in list(unknown)[:_SHOWN]]
        close = [c for t in texts for c in difflib.get_close_matches(t, column.categories, 1, 0.75)]
        hint = f"; did you mean {close[0]!r}?" if close else ""
        if not close and len(known := ", ".join(column.categories)) < 100:
            hint = f"; known are {known}"
        more = ", ..." * (len(unknown) > _SHOWN)
        note(
            NoteCode.UNKNOWN_CATEGORY,
            f"column {name!r}: {', '.join(map(repr, texts))}{more} was never seen in training and "
            f"was read as an unknown category{hint}",
            field=name,
            count=sum(unknown.values()),
        )


def _stack_columns(columns: list[Array], rows: int) -> Array:
    """Return columns side by side as one array (rows, columns)."""
    return np.stack(columns, axis=1) if columns else np.empty((rows, 0))


def _numbers(frame: Frame, column: Column) -> FloatColumn:
    """Read a number column; truth values are 0 and 1 where the training rows held only these."""
    cells = frame.columns[column.name]
    if cells.dtype == object and column.is_flag and all(_is_truth(cell) for cell in cells):
        return np.array([_TRUTH[str(cell).strip().lower()] for cell in cells])
    return frame.numbers(column.name)


_TRUTH = {"true": 1.0, "false": 0.0, "none": np.nan, "": np.nan}


def _is_truth(cell: Any) -> bool:
    return cell is None or str(cell).strip().lower() in _TRUTH


def _note_missing(lacking: Mapping[str, int]) -> None:
    counts = {name: count for name, count in lacking.items() if count}
    if not counts:
        return
    shown = ", ".join(f"{name!r} ({count})" for name, count in list(counts.items())[:10])
    note(
        NoteCode.FILLED,
        f"missing values were read as missing, as in training: {shown}",
        field=next(iter(counts)) if len(counts) == 1 else None,
        count=sum(counts.values()),
    )


PREPROCESSOR = TabularPreprocessor
