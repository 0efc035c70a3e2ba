from __future__ import annotations

import numpy as np
import pytest

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.formats.motion.sensor_clock import sample_times
from omnivec2.preprocess.formats.tables.time_axis import TimeAxis
from omnivec2.preprocess.notes import NoteCode, collect_notes

N = 400
EVEN = np.arange(N) / 100
SIGNAL = np.random.default_rng(0).normal(size=(N, 3))


def times(stamps, signal=SIGNAL, unit=None):
    axis = TimeAxis(("stamp",), np.asarray(stamps, float), unit=unit, absolute=False)
    with collect_notes() as notes:
        found = sample_times(axis, signal)
    codes = [note.code for note in notes]
    return (None if found is None else (found[0] - found[0][0], found[1])), codes


@pytest.mark.parametrize(
    ("first", "per_second", "noted"),
    [
        *((0, 1, False), (0, 1e3, True), (0, 1e6, True), (0, 1e9, True)),
        *((1.7e9, 1, False), (1.7e12, 1e3, False), (1.7e15, 1e6, False), (1.7e18, 1e9, False)),
        *((3e14, 1e9, True), (1.7e15, 1e9, True)),
    ],
)
def test_units_are_concluded_from_epochs_and_distances(first, per_second, noted):
    (found, rows), codes = times(first + EVEN * per_second)
    assert found == pytest.approx(EVEN, abs=1e-5)
    assert rows.tolist() == list(range(N))
    assert codes == [NoteCode.GUESSED] * noted


def test_distances_that_fit_no_sensor_are_refused():
    with pytest.raises(InvalidInputError, match="fits no sensor"):
        times(EVEN * 100 * 500.5e9)


@pytest.mark.parametrize("first", [0, 1])
def test_a_counter_of_rows_gives_no_times(first):
    assert times(np.arange(N) + first) == (None, [NoteCode.GUESSED])
    assert times(np.arange(N) + first, unit="s")[0] is not None


def test_rows_in_any_order_are_sorted():
    mixed = np.random.default_rng(1).permutation(N)
    (found, rows), _ = times(EVEN[mixed], SIGNAL[mixed])
    assert found == pytest.approx(EVEN)
    assert mixed[rows].tolist() == list(range(N))
    (_, rows), _ = times(EVEN[::-1], SIGNAL[::-1])
    assert rows.tolist() == list(range(N))[::-1]


@pytest.mark.parametrize("repeated", [slice(5, 9), slice(0, N)])
def test_repeated_rows_are_left_out_and_noted(repeated):
    stamps = np.concatenate((EVEN, EVEN[repeated]))
    (found, rows), codes = times(stamps, np.concatenate((SIGNAL, SIGNAL[repeated])))
    assert found == pytest.approx(EVEN)
    assert rows.tolist() == list(range(N))
    assert codes == [NoteCode.DROPPED]


def test_a_logger_that_stalls_repeats_its_sample():
    (found, _), codes = times(np.repeat(EVEN, 2), np.repeat(SIGNAL, 2, axis=0))
    assert found == pytest.approx(EVEN)
    assert codes == [NoteCode.DROPPED]


def test_recordings_that_follow_one_another_are_refused():
    with pytest.raises(InvalidInputError, match="start again at row 401"):
        times(np.concatenate((EVEN, EVEN)), np.concatenate((SIGNAL, SIGNAL + 1)))


def test_parts_of_a_recording_may_be_out_of_order():
    order = np.concatenate((np.arange(200, N), np.arange(200)))
    (found, rows), _ = times(EVEN[order], SIGNAL[order])
    assert found == pytest.approx(EVEN)
    assert order[rows].tolist() == list(range(N))


@pytest.mark.parametrize("resolution", [1.0, 0.5, 0.1])
@pytest.mark.parametrize("phase", [0.0, 0.3])
def test_rows_that_share_a_stamp_are_spread_evenly(resolution, phase):
    stamps = np.floor((EVEN + phase) / resolution + 1e-9) * resolution
    (found, _), codes = times(stamps + 1.7e9)
    assert found == pytest.approx(EVEN, abs=0.002)
    assert codes == [NoteCode.GUESSED]


def test_shuffled_rows_that_share_stamps_cannot_be_told_apart():
    mixed = np.random.default_rng(1).permutation(N)
    with pytest.raises(InvalidInputError, match=r"share the same time.*resolution"):
        times(np.floor(EVEN)[mixed], unit="s")


def test_rows_that_all_share_one_stamp_have_no_rate():
    with pytest.raises(InvalidInputError, match=r"all rows share the same time.*sample_rate"):
        times(np.full(N, 1.7e9))
