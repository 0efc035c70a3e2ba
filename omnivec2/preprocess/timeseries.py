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
from omnivec2.preprocess.formats.tables.binary_tables import is_binary_table
from omnivec2.preprocess.formats.tables.frame import LARGEST_NUMBER, Frame
from omnivec2.preprocess.formats.tables.table_preprocessor import TablePreprocessor
from omnivec2.preprocess.formats.tables.time_axis import find_time_column, read_seconds
from omnivec2.spec import HeadSpec, Limits, Modality, TensorSpec

DEFAULT_NAME = "target"
"""The name of a series that has none in the input, as in GluonTS and DeepAR."""

_DEEPAR_FIELDS = frozenset({"start", "freq", "item_id"})


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
        """Decode a list of numbers, ``{"target": [...]}``, columns or row objects."""
        if isinstance(value, dict) and any(isinstance(item, list) for item in value.values()):
            value = {name: item for name, item in value.items() if name not in _DEEPAR_FIELDS}
        return super().decode_json(value)

    def from_frame(self, frame: Frame) -> Series:
        """Order by the time column if there is one, and keep the values that are used."""
        wanted = self.parameters.columns
        frame.require(wanted)
        time = find_time_column(frame.without(wanted))
        order = np.arange(frame.rows)
        if time is not None:
            order = np.argsort(read_seconds(frame, time), kind="stable")
        # Only the values that the head reads are parsed: a long history costs nothing.
        frame = frame.take(order[-self.parameters.context_length :])
        others = [n for n in frame.columns if n != time]
        names = list(wanted) or [n for n in others if frame.is_numeric(n)]
        if not names:
            # One column of strings is more likely a mistake than a table without series.
            for name in others:
                frame.numbers(name)
            raise InvalidInputError("no column holds numbers", field="inputs")
        values = np.stack([frame.numbers(name) for name in names], axis=1)
        alone = len(names) == 1 and not frame.named
        return Series(values, (DEFAULT_NAME,) if alone else tuple(names))

    def is_native(self, value: bytes | JsonValue) -> bool:
        """Return whether it is a binary table: text is read in Python."""
        return is_binary_table(value)

    def prepare(self, native: Series) -> Prepared:
        """Make one sample per series; gaps are filled by linear interpolation."""
        values = np.asarray(native.values, np.float64)
        length = self.parameters.context_length
        if len(values) < length:
            raise InvalidInputError(
                f"{len(values):,} values are too few: this head reads the last {length:,}",
                field="inputs",
            )
        samples = []
        for name, series in zip(native.names, values[-length:].T, strict=True):
            samples.append({"values": self._fill_gaps(series, name).astype(np.float32)})
        return Prepared(samples, {"names": list(native.names), "reduce": "each"})

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
                f"at most {self.parameters.most_missing:.0%} may be missing",
                field=f"inputs.{name}",
            )
        if not missing:
            return series
        steps = np.arange(len(series))
        return np.interp(steps, steps[known], series[known])


PREPROCESSOR = TimeseriesPreprocessor
