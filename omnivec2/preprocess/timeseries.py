"""Time series -> the last ``context_length`` values of each series, in their own units.

Series are forecast one by one; instance normalisation is in the graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import Field, JsonValue

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.base import (
    Array,
    Parameters,
    Prepared,
    input_shape,
)
from omnivec2.preprocess.formats.series.counted_steps import find_counted_times
from omnivec2.preprocess.formats.series.series_cells import (
    columns_of_series,
    read_series_cells,
)
from omnivec2.preprocess.formats.series.series_ids import (
    has_one_row_each,
    is_called_id,
    split_series,
)
from omnivec2.preprocess.formats.series.series_json import is_list_of_rows, series_from_json
from omnivec2.preprocess.formats.series.series_scale import scale_series
from omnivec2.preprocess.formats.series.series_values import last_values
from omnivec2.preprocess.formats.tables.frame import LARGEST_NUMBER, Frame
from omnivec2.preprocess.formats.tables.table_preprocessor import TablePreprocessor
from omnivec2.preprocess.formats.tables.time_axis import TimeAxis, TimeOptions, find_time_axis
from omnivec2.preprocess.formats.tables.times.time_numbers import is_counter
from omnivec2.preprocess.notes import NoteCode, note
from omnivec2.preprocess.source_options import stated
from omnivec2.spec import HeadSpec, Limits, Modality, TensorSpec

DEFAULT_NAME = "target"
"""The name of a series that has none in the input, as in GluonTS and DeepAR."""

_ROW_NAMES = frozenset({"index", "idx", "row", "rownum", "row_number", "nr", "no", "#", "level_0"})
"""The names of columns that count rows, if their values do."""


class TimeseriesParameters(Parameters):
    """Frozen parameters of the time series preprocessor.

    ``columns`` names the series to forecast; empty means every numeric column.
    """

    context_length: int = 336
    horizon: int = 96
    columns: tuple[str, ...] = ()
    most_missing: float = Field(default=0.25, ge=0, lt=1)


@dataclass(frozen=True)
class Series:
    """Series that share their times, oldest value first.

    Attributes:
        values: A float array (times, series), NaN where missing.
        names: One name per series.
    """

    values: Array
    names: tuple[str, ...]

    @classmethod
    def of(cls, columns: dict[str, Array]) -> Series:
        """Build series from arrays in memory, in the order of the dictionary."""
        return cls(np.stack(list(columns.values()), axis=1), tuple(columns))


class TimeseriesPreprocessor(TablePreprocessor[TimeseriesParameters, Series]):
    """CSV, Parquet or JSON -> one sample of ``context_length`` values per series."""

    modality = Modality.TIMESERIES
    parameters_type = TimeseriesParameters
    source_options_type = TimeOptions
    list_cells = True
    default_limits = Limits(bytes=4 * 2**20, decoded_bytes=64 * 2**20, rows=100_000, columns=128)

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """``values`` float32 (context_length,), in the units of the input."""
        shape = (self.parameters.context_length,)
        return (TensorSpec(name="values", dtype="float32", shape=shape),)

    @classmethod
    def random_inputs(
        cls, head: HeadSpec, batch: int, lengths: Mapping[str, int], rng: np.random.Generator
    ) -> dict[str, Array]:
        """Draw random walks with very different levels and spreads."""
        steps = rng.normal(size=(batch, *input_shape(head, "values"))).cumsum(axis=1)
        level = rng.normal(0, 100, (batch, 1))
        return {"values": steps * rng.uniform(0.01, 20, (batch, 1)) + level}

    @property
    def json_example(self) -> JsonValue:
        """As many values as the head reads, with the rise and fall of a day."""
        values: list[JsonValue] = [
            float(hour % 24) for hour in range(self.parameters.context_length)
        ]
        return dict.fromkeys(self.parameters.columns or ("target",), values)

    def decode_json(self, value: JsonValue) -> Series:
        """Decode a list of numbers, ``{"target": [...]}``, columns, row objects or pairs."""
        return super().decode_json(series_from_json(value))

    def split(self, value: JsonValue) -> list[JsonValue] | None:
        """Split a list of series; a list of rows, such as times with values, is a single one."""
        if is_list_of_rows(value, self.parameters.context_length):
            return None
        return super().split(value)

    def decode_json_rows(self, values: list[JsonValue]) -> Series:
        """Decode JSON Lines: a row of a table in each, or a series as GluonTS writes it."""
        rewritten = series_from_json(values)
        if rewritten is not values:
            return super().decode_json(rewritten)
        return super().decode_json_rows(values)

    def from_frame(self, frame: Frame) -> Series:
        """Find the times and the series, and lay the last values on an even grid of times."""
        wanted = self.parameters.columns
        length = self.parameters.context_length
        frame.require(wanted)
        if cells := columns_of_series(frame):
            return Series.of(read_series_cells(frame, cells, wanted, length))
        axis = self._times(frame)
        rest = frame if axis is None else frame.without(axis.columns)
        times = None if axis is None else axis.seconds
        split = split_series(rest, times, kept=wanted)
        names = list(wanted) or _names_of_series(rest.without(split.columns), frame)
        found: list[Array] = []
        labels: list[str] = []
        for series in split.series:
            alone = len(split.series) == 1
            rows = frame if alone else frame.take(series.rows)
            values = last_values(rows, axis and axis.take(series.rows), names, length)
            if len(values) < length and not alone:
                raise InvalidInputError(
                    f"series {series.label!r}: {self._too_few(len(values))}", field="inputs"
                )
            found.append(values)
            labels += _labels(None if alone else series.label, names, named=frame.named)
        return Series(np.concatenate(found, axis=1), tuple(labels))

    def _times(self, frame: Frame) -> TimeAxis | None:
        others = frame.without(self.parameters.columns)
        # The common case: values alone.
        if len(others.columns) == 1 and not _may_be_times(others):
            return None
        return find_time_axis(others, stated(TimeOptions)) or find_counted_times(others)

    def prepare(self, native: Series) -> Prepared:
        """Make one sample per series; gaps are filled by linear interpolation."""
        values = np.asarray(native.values, np.float64)
        length = self.parameters.context_length
        if len(values) < length:
            raise InvalidInputError(self._too_few(len(values)), field="inputs")
        scaled = [
            scale_series(self._fill_gaps(column, name), name)
            for name, column in zip(native.names, values[-length:].T, strict=True)
        ]
        context: dict[str, object] = {"names": list(native.names), "reduce": "each"}
        if any(series.is_scaled for series in scaled):
            context["location"] = [series.location for series in scaled]
            context["scale"] = [series.scale for series in scaled]
        return Prepared([{"values": series.values} for series in scaled], context)

    def _too_few(self, count: int) -> str:
        length = self.parameters.context_length
        return f"{count:,} values are too few: this head reads the last {length:,}"

    def _fill_gaps(self, series: Array, name: str) -> npt.NDArray[np.float64]:
        known = np.isfinite(series)
        if not (np.abs(series[known]) <= LARGEST_NUMBER).all() or np.isinf(series).any():
            raise InvalidInputError(
                f"series {name!r} holds numbers that are not finite or beyond {LARGEST_NUMBER:g}",
                field=f"inputs.{name}",
            )
        missing = int((~known).sum())
        if missing > self.parameters.most_missing * len(series):
            raise InvalidInputError(
                f"series {name!r} lacks {missing} of its last {len(series)} values; "
                f"at most {self.parameters.most_missing:.0%} may be missing, and gaps between "
                "the times count",
                field=f"inputs.{name}",
            )
        if not missing:
            return series
        note(
            NoteCode.FILLED,
            f"series {name!r}: missing values were filled in between their neighbours",
            field=f"inputs.{name}",
            count=missing,
        )
        steps = np.arange(len(series))
        return np.interp(steps, steps[known], series[known])


def _may_be_times(frame: Frame) -> bool:
    return any(column.dtype != np.float64 for column in frame.columns.values())


def _names_of_series(rest: Frame, frame: Frame) -> list[str]:
    """Return the columns of numbers; what else there is is noted."""
    names = [name for name in rest.columns if rest.is_numeric(name)]
    if not names:
        # One column of strings is more likely a mistake than a table without series.
        for column in rest.columns:
            rest.numbers(column)
        raise InvalidInputError("no column holds numbers", field="inputs")
    counters = [name for name in names if _counts_rows(rest, name)] if frame.named else []
    names = [name for name in names if name not in counters] or names
    for name in rest.columns:
        if name not in names:
            reason = "it numbers the rows" if name in counters else "it holds no numbers"
            note(
                NoteCode.IGNORED,
                f"column {name!r} was not forecast: {reason}",
                field=f"inputs.{name}",
            )
    return names


def _counts_rows(frame: Frame, name: str) -> bool:
    if is_called_id(name) and has_one_row_each(frame, name):
        return True
    return name.strip().lower() in _ROW_NAMES and is_counter(frame.numbers(name))


def _labels(label: str | None, names: list[str], *, named: bool) -> list[str]:
    if label is not None:
        return [label] if len(names) == 1 else [f"{label}/{name}" for name in names]
    return [DEFAULT_NAME] if len(names) == 1 and not named else names


PREPROCESSOR = TimeseriesPreprocessor
