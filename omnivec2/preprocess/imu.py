"""Recordings of motion sensors -> windows of raw samples at the head's rate.

Scaling per channel, with constants from training, is in the graph.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from omnivec2.preprocess.formats.motion.channel_columns import ChannelColumn, find_channels
from omnivec2.preprocess.formats.motion.motion_units import factors
from omnivec2.preprocess.formats.motion.recording_json import recording_from_json
from omnivec2.preprocess.formats.motion.recording_options import UPWARD, ImuOptions
from omnivec2.preprocess.formats.motion.sensor_clock import (
    LONGEST_S,
    SHORTEST_S,
    sample_times,
)
from omnivec2.preprocess.formats.motion.sensor_gaps import (
    LONGEST_GAP_S,
    fill_holes,
    note_missing_samples,
)
from omnivec2.preprocess.formats.tables.frame import LARGEST_NUMBER, FloatColumn, Frame
from omnivec2.preprocess.formats.tables.table_preprocessor import TablePreprocessor
from omnivec2.preprocess.formats.tables.time_axis import (
    TimeAxis,
    find_time_axis,
    read_times,
)
from omnivec2.preprocess.notes import NoteCode, note
from omnivec2.preprocess.source_options import stated
from omnivec2.spec import HeadSpec, Limits, Modality, TensorSpec

UCI_CHANNELS = (
    *("acc_x", "acc_y", "acc_z"),
    *("body_acc_x", "body_acc_y", "body_acc_z"),
    *("body_gyro_x", "body_gyro_y", "body_gyro_z"),
)
"""The channels of UCI HAR: acceleration, the same without gravity, both in g, and rotation in
rad/s, of a phone at the waist whose x axis points up."""

SAME_RATE = 0.02
"""Rates that differ by less (relative) count as equal: sensors' clocks are no more precise."""

_LARGEST_STEP = 4096
"""Bound on numerator and denominator of a resampling ratio."""


class ImuParameters(Parameters):
    """Frozen parameters of the motion sensor preprocessor."""

    window: int = 64
    rate_hz: float = 50.0
    channels: tuple[str, ...] = UCI_CHANNELS
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
    source_options_type = ImuOptions
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
        """A window at rest: one axis measures gravity, the others little noise."""
        count = self.parameters.window
        return {
            name: [(1.0 if number == 2 else 0.0) + 0.01 * (sample % 2) for sample in range(count)]
            for number, name in enumerate(self.parameters.channels)
        }

    def split(self, value: JsonValue) -> list[JsonValue] | None:
        """Split a list of recordings; a list of rows, named or not, is a single one."""
        if isinstance(value, list) and all(_is_unnamed_row(row) for row in value):
            return None
        return super().split(value)

    def decode_json(self, value: JsonValue) -> Recording:
        """Decode columns, rows, or one list of samples per channel."""
        return super().decode_json(
            recording_from_json(value, len(self.parameters.channels), self.parameters.window)
        )

    def from_frame(self, frame: Frame) -> Recording:
        """Read channels by name, or by position if there are no names and the number fits."""
        options = stated(ImuOptions)
        axis, columns = self._find_columns(frame, options)
        names = [column.column for column in columns]
        signal = np.stack([frame.numbers(name) for name in names], axis=1)
        found = None
        if options.sample_rate is None and axis is not None:
            found = sample_times(axis, np.nan_to_num(signal))
        rate_hz = options.sample_rate or self.parameters.rate_hz
        times, rows = found or (np.arange(len(signal)) / rate_hz, np.arange(len(signal)))
        signal = signal[rows]
        if (hole := fill_holes(signal, times)) is not None:
            row, name = frame.row_number(int(rows[hole[0]])), names[hole[1]]
            raise InvalidInputError(
                f"column {name!r}, row {row}: a value is missing", field=f"inputs.{name}"
            )
        signal = self._in_units_of_head(signal, columns, options)
        is_timed = found is not None or options.sample_rate is not None
        return Recording(signal, times if is_timed else None)

    def prepare(self, native: Recording) -> Prepared:
        """Cut windows spread evenly over the recording; their answers are averaged.

        Context: ``length``, the samples of the whole recording at the head's rate.
        """
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
        if not np.ptp(signal, axis=0).any():
            note(NoteCode.EMPTY, "the recording shows nothing: no channel ever changes")
        starts = window_starts(len(signal), p.window, p.max_windows)
        signal = signal.astype(np.float32)
        samples = [{"signal": signal[start : start + p.window]} for start in starts]
        return Prepared(samples, {"reduce": "mean", "length": len(signal)})

    def _in_units_of_head(
        self, signal: FloatColumn, columns: Sequence[ChannelColumn], options: ImuOptions
    ) -> FloatColumn:
        """Convert to g and rad/s, x upwards, if these are the channels of the shipped head."""
        channels = self.parameters.channels
        if not set(channels) <= set(UCI_CHANNELS):
            return signal
        named = [column.unit for column in columns]
        signal = signal * factors(
            signal, channels, named, acceleration=options.unit, rotation=options.gyro_unit
        )
        if options.up_axis in (None, "x") or len(channels) % 3:
            return signal
        turned = [
            sign * signal[:, start + axis]
            for start in range(0, len(channels), 3)
            for axis, sign in UPWARD[options.up_axis]
        ]
        return np.stack(turned, axis=1)

    def _find_columns(
        self, frame: Frame, options: ImuOptions
    ) -> tuple[TimeAxis | None, list[ChannelColumn]]:
        """Return the times of the rows, if any, and the columns of the channels in order."""
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
            columns = [ChannelColumn(*pair) for pair in zip(wanted, names, strict=True)]
            return None if time is None else read_times(frame, time, options), columns
        columns = find_channels(frame, wanted)
        rest = frame.without([column.column for column in columns])
        axis = find_time_axis(rest, options, evenly=True)
        unused = [name for name in rest.columns if axis is None or name not in axis.columns]
        if unused:
            note(
                NoteCode.IGNORED,
                f"columns that are no channel of this head were not used: {', '.join(unused)}"
                + f"; without a time column, rows are taken as {self.parameters.rate_hz:g} Hz"
                * (axis is None and options.sample_rate is None),
                count=len(unused),
            )
        if axis is not None and (missing := np.flatnonzero(~np.isfinite(axis.values))).size:
            raise InvalidInputError(
                f"column {axis.columns[0]!r}, row {frame.row_number(int(missing[0]))}: expected "
                "a date or time, got none",
                field=f"inputs.{axis.columns[0]}",
            )
        return axis, columns

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
        if source_hz > 1.01 / SHORTEST_S:
            raise InvalidInputError(
                f"a sampling rate of {source_hz:.3g} Hz fits no sensor; are the times in another "
                "unit? State it in the parameter time_unit",
                field="inputs",
            )
        if source_hz < 1.0 / LONGEST_S:
            raise InvalidInputError(
                f"a sampling rate of {source_hz:.3g} Hz is too low: this head needs at least "
                f"{1.0 / LONGEST_S:g} Hz, {self.parameters.rate_hz:g} Hz at best",
                field="inputs",
            )
        count = round(duration * source_hz) + 1
        if count > 2 * len(times):
            raise InvalidInputError("times are too uneven: over half the samples are missing")
        note_missing_samples(steps)
        grid = times[0] + np.arange(count) / source_hz
        even = np.stack([np.interp(grid, times, channel) for channel in signal.T], axis=1)
        if abs(source_hz / self.parameters.rate_hz - 1) < SAME_RATE:
            return even
        note(
            NoteCode.RESAMPLED,
            f"the recording was resampled from {source_hz:.4g} to {self.parameters.rate_hz:g} Hz, "
            "the rate of this head",
        )
        ratio = Fraction(self.parameters.rate_hz / source_hz).limit_denominator(_LARGEST_STEP)
        return resample(even, ratio.numerator, ratio.denominator)


def _is_unnamed_row(row: JsonValue) -> bool:
    return isinstance(row, list) and not any(isinstance(cell, list | dict | str) for cell in row)


PREPROCESSOR = ImuPreprocessor
