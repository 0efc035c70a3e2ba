"""Recordings of motion sensors -> windows of raw samples at the head's rate.

Scaling per channel, with constants from training, is in the graph.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt
from pydantic import JsonValue

from omnivec2.errors import InvalidInputError, TooLargeError
from omnivec2.preprocess.base import (
    Array,
    Parameters,
    Prepared,
    input_shape,
)
from omnivec2.preprocess.formats.media.polyphase import resample
from omnivec2.preprocess.formats.media.windows import window_starts
from omnivec2.preprocess.formats.tables.binary_tables import is_binary_table
from omnivec2.preprocess.formats.tables.frame import LARGEST_NUMBER, FloatColumn, Frame
from omnivec2.preprocess.formats.tables.table_preprocessor import TablePreprocessor
from omnivec2.preprocess.formats.tables.time_axis import find_time_column, read_seconds
from omnivec2.spec import HeadSpec, Limits, Modality, TensorSpec

LONGEST_GAP_S = 0.5
"""Longer pauses between two samples are not interpolated: the motion in them is unknown."""

SAME_RATE = 0.02
"""Rates that differ by less (relative) count as equal: sensors' clocks are no more precise."""

_LARGEST_STEP = 4096
"""Bound on numerator and denominator of a resampling ratio."""

_UNITS_PER_SECOND = (1.0, 1e3, 1e6, 1e9)
_SHORTEST_S, _LONGEST_S = 2.5e-4, 0.25
"""Distances between samples that are read as seconds (4 to 4,000 Hz); a thousand times as
much is read as milliseconds, and so on: the ranges do not overlap."""


class ImuParameters(Parameters):
    """Frozen parameters of the motion sensor preprocessor."""

    window: int = 64
    rate_hz: float = 50.0
    channels: tuple[str, ...] = (
        "acc_x",
        "acc_y",
        "acc_z",
        "body_acc_x",
        "body_acc_y",
        "body_acc_z",
        "body_gyro_x",
        "body_gyro_y",
        "body_gyro_z",
    )
    max_windows: int = 32


@dataclass(frozen=True)
class Recording:
    """A decoded recording.

    Attributes:
        signal: A float array (samples, channels) in the order of ``channels``, in raw units.
        times: An increasing float64 array (samples,) in seconds; None if the samples are
            evenly spaced at the head's rate.
    """

    signal: Array
    times: FloatColumn | None = None


class ImuPreprocessor(TablePreprocessor[ImuParameters, Recording]):
    """CSV, Parquet or JSON -> one or more windows of samples x channels."""

    modality = Modality.IMU
    parameters_type = ImuParameters
    default_limits = Limits(
        bytes=4 * 2**20, decoded_bytes=64 * 2**20, rows=100_000, columns=64, seconds=3600.0
    )

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """``signal`` float32 (window, channels), raw sensor units."""
        shape = (self.parameters.window, len(self.parameters.channels))
        return (TensorSpec(name="signal", dtype="float32", shape=shape),)

    @classmethod
    def random_inputs(
        cls, head: HeadSpec, batch: int, lengths: Mapping[str, int], rng: np.random.Generator
    ) -> dict[str, Array]:
        """Draw noise around a level per channel."""
        shape = (batch, *input_shape(head, "signal"))
        return {"signal": rng.normal(0, 0.5, shape) + rng.normal(0, 1, (batch, 1, shape[-1]))}

    @property
    def json_example(self) -> JsonValue:
        """A window at rest: one axis measures gravity, the others zero."""
        count = self.parameters.window
        return {
            name: [1.0 if number == 2 else 0.0] * count
            for number, name in enumerate(self.parameters.channels)
        }

    def split(self, value: JsonValue) -> list[JsonValue] | None:
        """Split a list of recordings; a list of rows, named or not, is a single one."""
        if isinstance(value, list) and all(_is_unnamed_row(row) for row in value):
            return None
        return super().split(value)

    def from_frame(self, frame: Frame) -> Recording:
        """Read channels by name, or by position if there are no names and the number fits."""
        time, names = self._find_columns(frame)
        signal = np.stack([frame.numbers(name) for name in names], axis=1)
        holes = np.argwhere(np.isnan(signal))
        if holes.size:
            row, channel = (int(index) for index in holes[0])
            raise InvalidInputError(
                f"column {names[channel]!r}, row {frame.row_number(row)}: a value is missing",
                field=f"inputs.{names[channel]}",
            )
        if time is None:
            return Recording(signal)
        times = read_seconds(frame, time)
        # Unique times in order: loggers repeat the last sample when they stall.
        times, first = np.unique(times, return_index=True)
        return Recording(signal[first], times / _units_per_second(frame, time, times))

    def is_native(self, value: bytes | JsonValue) -> bool:
        """Return whether it is a binary table: text is read in Python."""
        return is_binary_table(value)

    def prepare(self, native: Recording) -> Prepared:
        """Cut windows spread evenly over the recording; their answers are averaged."""
        p = self.parameters
        signal = np.asarray(native.signal, np.float64)
        if signal.ndim != 2 or signal.shape[1] != len(p.channels):
            raise InvalidInputError(
                f"expected (samples, {len(p.channels)}), got {signal.shape}", field="inputs"
            )
        # "not <=" rather than ">", so that NaN is refused too.
        if not (np.abs(signal) <= LARGEST_NUMBER).all():
            raise InvalidInputError("the recording holds values that are not finite numbers")
        if native.times is not None:
            signal = self._resample(signal, native.times)
        if len(signal) < p.window:
            raise InvalidInputError(
                f"the recording has {len(signal)} samples at {p.rate_hz:g} Hz; this head needs "
                f"at least {p.window} ({p.window / p.rate_hz:g} s)",
                field="inputs",
            )
        starts = window_starts(len(signal), p.window, p.max_windows)
        signal = signal.astype(np.float32)
        samples = [{"signal": signal[start : start + p.window]} for start in starts]
        return Prepared(samples, {"reduce": "mean"})

    def _find_columns(self, frame: Frame) -> tuple[str | None, list[str]]:
        """Return the time column, if any, and the columns of the channels in order."""
        wanted = self.parameters.channels
        if not frame.named:
            names = list(frame.columns)
            if len(names) not in (len(wanted), len(wanted) + 1):
                raise InvalidInputError(
                    f"expected {len(wanted)} columns ({', '.join(wanted)}), optionally after a "
                    f"time column, got {len(names)}",
                    field="inputs",
                )
            time = names.pop(0) if len(names) > len(wanted) else None
            return time, names
        by_plain_name = {_normalized_name(name): name for name in frame.columns}
        missing = [name for name in wanted if _normalized_name(name) not in by_plain_name]
        if missing:
            frame.require(missing)
        names = [by_plain_name[_normalized_name(name)] for name in wanted]
        return find_time_column(frame.without(names)), names

    def _resample(self, signal: npt.NDArray[np.float64], times: FloatColumn) -> Array:
        """Resample to the head's rate: first to an even grid, then with a polyphase filter."""
        if len(times) < 2:
            return signal
        steps = np.diff(times)
        if not (steps > 0).all():
            raise InvalidInputError("times must increase", field="inputs")
        gap = int(np.argmax(steps))
        if steps[gap] > LONGEST_GAP_S:
            raise InvalidInputError(
                f"nothing was recorded for {steps[gap]:.3g} s after row {gap + 1}; "
                f"gaps may last {LONGEST_GAP_S:g} s",
                field="inputs",
            )
        duration = float(times[-1] - times[0])
        if self.limits.seconds is not None and duration > self.limits.seconds:
            raise TooLargeError(f"the recording lasts longer than {self.limits.seconds:g} seconds")
        source_hz = 1.0 / float(np.median(steps))
        count = round(duration * source_hz) + 1
        if count > 2 * len(times):
            raise InvalidInputError("times are too uneven: over half the samples are missing")
        grid = times[0] + np.arange(count) / source_hz
        even = np.stack([np.interp(grid, times, channel) for channel in signal.T], axis=1)
        if abs(source_hz / self.parameters.rate_hz - 1) < SAME_RATE:
            return even
        ratio = Fraction(self.parameters.rate_hz / source_hz).limit_denominator(_LARGEST_STEP)
        return resample(even, ratio.numerator, ratio.denominator)


def _is_unnamed_row(row: JsonValue) -> bool:
    return isinstance(row, list) and not any(isinstance(cell, list | dict | str) for cell in row)


def _normalized_name(name: str) -> str:
    """Drop case, spaces and punctuation of a column's name: Acc_X, acc-x and accx are equal."""
    return re.sub(r"[\W_]+", "", name).lower()


def _units_per_second(frame: Frame, name: str, times: FloatColumn) -> float:
    """Infer from the distance between samples whether times are in s, ms, µs or ns."""
    if len(times) < 2 or frame.columns[name].dtype.kind == "M":
        return 1.0
    step = float(np.median(np.diff(times)))
    for units in _UNITS_PER_SECOND:
        if _SHORTEST_S <= step / units < _LONGEST_S:
            return units
    raise InvalidInputError(
        f"column {name!r}: samples lie {step:g} apart, which fits no sensor; "
        "expected times in s, ms, µs or ns",
        field=f"inputs.{name}",
    )


PREPROCESSOR = ImuPreprocessor
