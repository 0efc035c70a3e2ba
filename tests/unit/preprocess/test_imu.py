from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from omnivec2.errors import InvalidInputError, TooLargeError
from omnivec2.preprocess import collate, preprocessor_type
from omnivec2.preprocess.formats.motion.recording_options import UPWARD, ImuOptions
from omnivec2.preprocess.formats.tables.frame import Frame
from omnivec2.preprocess.imu import (
    ImuParameters,
    ImuPreprocessor,
    Recording,
)
from omnivec2.preprocess.notes import NoteCode, collect_notes
from omnivec2.preprocess.source_options import state
from omnivec2.spec import Limits, Modality

DATA = Path(__file__).parents[2] / "data" / "imu"
XY = ("acc_x", "acc_y")


def imu(limits: Limits | None = None, **parameters) -> ImuPreprocessor:
    return ImuPreprocessor(ImuParameters(**parameters), limits)


def small(**parameters) -> ImuPreprocessor:
    return imu(window=8, channels=XY, **parameters)


def csv(header: str, rows: np.ndarray) -> bytes:
    lines = [",".join(f"{cell:.9g}" for cell in row) for row in rows]
    return "\n".join([header, *lines] if header else lines).encode()


def sine(rate_hz: float, seconds: float = 4.0) -> tuple[np.ndarray, np.ndarray]:
    times = np.arange(int(rate_hz * seconds)) / rate_hz
    return times, np.stack([np.sin(2 * np.pi * times), np.cos(2 * np.pi * times)], axis=1)


def test_the_registry_finds_the_imu_preprocessor():
    assert preprocessor_type(Modality.IMU) is ImuPreprocessor


@pytest.mark.parametrize(
    ("name", "windows"), [("walk.csv", 3), ("walk.parquet", 3), ("walk.json", 2)]
)
def test_every_format_becomes_windows(name, windows):
    prepared = imu().prepare(imu().decode((DATA / name).read_bytes()))
    batch = collate(prepared.samples)
    assert batch["signal"].shape == (windows, 64, 9)
    assert batch["signal"].dtype == np.float32
    assert prepared.context["reduce"] == "mean"
    assert prepared.context["length"] >= 64 * (windows - 1)


def test_channels_are_put_in_order_by_name_whatever_its_spelling():
    frame = np.arange(20.0).reshape(10, 2)
    native = small().decode(csv("Acc-Y,AccX", frame))
    np.testing.assert_array_equal(native.signal, frame[:, ::-1])


def test_other_columns_are_ignored():
    assert small().decode(csv("acc_x,mag_z,acc_y", np.ones((10, 3)))).signal.shape == (10, 2)


def test_columns_without_names_are_taken_by_position():
    assert small().decode(csv("", np.ones((10, 2)))).times is None
    times, signal = sine(50)
    native = small().decode(csv("", np.c_[times, signal]))
    assert native.times == pytest.approx(times)


def test_rows_are_one_recording_and_a_list_of_recordings_is_a_batch():
    rows = [[1.0, 2.0]] * 10
    assert small().split(rows) is None
    assert small().split([{"acc_x": 1.0, "acc_y": 2.0}] * 10) is None
    assert small().split([rows, rows]) == [rows, rows]
    assert small().decode_json(rows).signal.shape == (10, 2)


@pytest.mark.parametrize("rate_hz", [20, 50, 100, 200, 33.3])
@pytest.mark.parametrize("units", [1, 1e3, 1e9])
def test_recordings_of_any_rate_are_resampled_to_the_rate_of_the_head(rate_hz, units):
    times, signal = sine(rate_hz)
    rows = np.c_[times * units, signal]
    header, cells = "time,acc_x,acc_y", [[repr(float(v)) for v in row] for row in rows]
    data = "\n".join([header, *(",".join(row) for row in cells)]).encode()
    native = small().decode(data)
    found = small(max_windows=1).prepare(native).samples[0]["signal"]
    expected = sine(50)[1][:8]
    assert found == pytest.approx(expected, abs=0.12)


def test_times_as_dates_are_understood():
    stamps = [f"2024-01-01T00:00:{i // 50:02d}.{i % 50 * 20:03d}" for i in range(100)]
    rows = [{"t": t, "acc_x": 1.0, "acc_y": 2.0} for t in stamps]
    native = small().decode_json(rows)
    assert native.times is not None
    assert np.diff(native.times) == pytest.approx(0.02, abs=1e-4)


def test_rows_out_of_order_and_repeated_rows_are_put_right():
    times, signal = sine(50)
    rows = np.c_[times, signal]
    mixed = np.concatenate((rows[::-1], rows[:3]))
    native = small().decode(csv("time,acc_x,acc_y", mixed))
    assert native.signal == pytest.approx(signal, abs=1e-6)


def test_training_code_can_hand_over_a_window():
    window = np.random.default_rng(0).normal(size=(64, 9)).astype(np.float32)
    (sample,) = imu().prepare(Recording(window)).samples
    np.testing.assert_array_equal(sample["signal"], window)


def test_a_missing_channel_is_named():
    with pytest.raises(InvalidInputError, match="missing column 'acc_y'"):
        small().decode(csv("acc_x,gyro_y", np.ones((10, 2))))


def test_a_wrong_number_of_columns_is_refused():
    with pytest.raises(InvalidInputError, match=r"expected 2 columns \(acc_x, acc_y\)"):
        small().decode(csv("", np.ones((10, 5))))


def test_a_missing_value_is_refused_with_row_and_column():
    with pytest.raises(InvalidInputError, match="column 'acc_y', row 2: a value is missing"):
        small().decode(b"acc_x,acc_y\n1,2\n3,\n")


def test_a_short_recording_is_refused_with_what_is_needed():
    with pytest.raises(InvalidInputError, match=r"10 samples at 50 Hz.*at least 64 \(1.28 s\)"):
        imu().prepare(Recording(np.ones((10, 9))))


def test_a_long_gap_is_refused():
    times, signal = sine(50)
    times[100:] += 3
    with pytest.raises(InvalidInputError, match="nothing was recorded for 3"):
        small().prepare(Recording(signal, times))


def test_times_that_fit_no_sensor_are_refused():
    rows = np.c_[np.arange(20) * 500.5e9, np.ones((20, 2))]
    with pytest.raises(InvalidInputError, match="fits no sensor"):
        small().decode(csv("time,acc_x,acc_y", rows))


def test_a_recording_over_the_limit_of_seconds_is_refused():
    times, signal = sine(50)
    limited = imu(Limits(seconds=2), window=8, channels=XY)
    with pytest.raises(TooLargeError, match="2 seconds"):
        limited.prepare(Recording(signal, times))


def test_uneven_times_cannot_blow_up_a_recording():
    steps = np.where(np.arange(2_000) % 5 == 0, 0.4, 0.0003)
    native = Recording(np.ones((2_000, 2)), np.cumsum(steps))
    with pytest.raises(InvalidInputError, match="too uneven"):
        small().prepare(native)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30])
def test_values_that_are_not_finite_are_refused(bad):
    signal = np.ones((64, 9))
    signal[3, 3] = bad
    with pytest.raises(InvalidInputError, match="not finite"):
        imu().prepare(Recording(signal))


@pytest.mark.parametrize("value", [[], {}, 3, None, [[1, 2], [3]], [["1", "2"]] * 10, [[]]])
def test_json_that_is_no_recording_is_refused(value):
    with pytest.raises(InvalidInputError):
        small().prepare(small().decode_json(value))


def test_arrays_of_another_number_of_channels_are_refused():
    with pytest.raises(InvalidInputError, match=r"expected \(samples, 2\)"):
        small().prepare(Recording(np.zeros((8, 3))))


def test_a_single_sample_with_a_time_is_too_short_rather_than_unreadable():
    native = small().decode(b"time,acc_x,acc_y\n0,1,2\n")
    with pytest.raises(InvalidInputError, match="1 samples"):
        small().prepare(native)


def test_times_of_an_array_must_increase():
    times = np.array([0.0, 0.1, 0.1, 0.2])
    with pytest.raises(InvalidInputError, match="times must increase"):
        small().prepare(Recording(np.zeros((4, 2)), times))


def test_dates_of_a_column_are_in_seconds_whatever_their_distance():
    times = np.arange("2020-01-01T00:00", "2020-01-01T00:04", dtype="datetime64[m]")
    native = small().from_frame(Frame.of({"t": times, "acc_x": [0] * 4, "acc_y": [1] * 4}))
    assert native.times is not None
    assert np.diff(native.times).tolist() == [60, 60, 60]


def codes(data: bytes, options: ImuOptions | None = None) -> list[NoteCode]:
    with state(options), collect_notes() as notes:
        small().prepare(small().decode(data))
    return [note.code for note in notes]


def test_a_stated_rate_is_that_of_rows_without_times():
    _, signal = sine(100)
    with state(ImuOptions(sample_rate=100)):
        native = small().decode(csv("acc_x,acc_y", signal))
    assert native.times is not None
    assert np.diff(native.times) == pytest.approx(0.01)
    times = np.arange(len(signal)) * 0.5
    with state(ImuOptions(sample_rate=100)):
        other = small().decode(csv("time,acc_x,acc_y", np.c_[times, signal]))
    assert other.times == pytest.approx(native.times)


def test_a_column_of_times_may_be_stated():
    times, signal = sine(100)
    data = csv("time,clock,acc_x,acc_y", np.c_[times * 3, times * 1000, signal])
    with state(ImuOptions(time_column="clock", time_unit="ms")):
        native = small().decode(data)
    assert native.times == pytest.approx(times)
    with (
        state(ImuOptions(time_column="when")),
        pytest.raises(InvalidInputError, match="missing column 'when'"),
    ):
        small().decode(data)


def test_resampling_and_unused_columns_are_noted():
    times, signal = sine(100)
    assert codes(csv("time_s,acc_x,acc_y", np.c_[times, signal])) == [NoteCode.RESAMPLED]
    assert codes(csv("acc_x,acc_y,heart", np.c_[signal, signal[:, 0]])) == [NoteCode.IGNORED]
    assert codes(csv("acc_x,acc_y", signal)) == []


def test_a_few_missing_values_and_samples_are_filled_in_and_noted():
    times, signal = sine(50)
    holes = signal.copy()
    holes[[5, 6, 90], [0, 0, 1]] = np.nan
    assert codes(csv("acc_x,acc_y", holes)) == [NoteCode.FILLED]
    mixed = np.random.default_rng(0).permutation(len(times))
    native = small().decode(csv("time,acc_x,acc_y", np.c_[times, holes][mixed]))
    assert native.signal == pytest.approx(signal, abs=0.02)
    kept = np.delete(np.arange(len(times)), [5, 6, 90])
    assert codes(csv("time,acc_x,acc_y", np.c_[times, signal][kept])) == [NoteCode.FILLED]


def test_a_long_hole_is_refused_with_its_first_row():
    times, signal = sine(50)
    signal[40:80, 1] = np.nan
    with pytest.raises(InvalidInputError, match="column 'acc_y', row 160: a value is missing"):
        small().decode(csv("time,acc_x,acc_y", np.c_[times, signal][::-1]))


def test_a_recording_that_never_changes_is_noted():
    assert codes(csv("acc_x,acc_y", np.ones((20, 2)))) == [NoteCode.EMPTY]


def test_a_rate_that_is_too_low_is_refused_with_the_rate():
    times = np.arange(400) / 3
    with pytest.raises(InvalidInputError, match="a sampling rate of 3 Hz is too low"):
        small().prepare(Recording(np.ones((400, 2)), times))


def test_a_rate_that_no_sensor_has_is_refused():
    data = csv("time_ns,acc_x,acc_y", np.c_[np.arange(40), np.ones((40, 2))])
    with pytest.raises(InvalidInputError, match=r"fits no sensor.*another unit"):
        small().prepare(small().decode(data))


def test_infinite_times_are_refused():
    with pytest.raises(InvalidInputError, match="expected a date or time, got 'inf'"):
        small().decode(b"time,acc_x,acc_y\n0,1,2\ninf,1,2\n0.02,1,2\n")


def test_a_missing_time_is_refused_with_its_row():
    data = b"time,acc_x,acc_y\n0,1,2\n,1,2\n0.02,1,2\n"
    with pytest.raises(InvalidInputError, match="row 2: expected a date or time, got none"):
        small().decode(data)


@pytest.mark.parametrize("axis", list(UPWARD))
def test_turning_the_axes_keeps_right_hands_right(axis):
    matrix = np.zeros((3, 3))
    for row, (column, sign) in enumerate(UPWARD[axis]):
        matrix[row, column] = sign
    assert np.linalg.det(matrix) == pytest.approx(1)
    up = np.zeros(3)
    up["xyz".index(axis[-1])] = -1 if axis[0] == "-" else 1
    assert matrix @ up == pytest.approx([1, 0, 0])


def test_units_of_other_heads_are_not_converted():
    signal = np.full((20, 3), 9.8)
    native = imu(window=8, channels=("hip_x", "hip_y", "hip_z")).decode(
        csv("hip_x,hip_y,hip_z", signal)
    )
    np.testing.assert_array_equal(native.signal, signal)
