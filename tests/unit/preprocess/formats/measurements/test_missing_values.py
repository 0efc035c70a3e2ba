from __future__ import annotations

import numpy as np
import pytest

from omnivec2.preprocess.formats.measurements.missing_values import (
    is_beyond_measuring,
    is_mark,
    usual_mark,
    without_marks,
)

LOWEST = float(np.finfo(np.float32).min)


@pytest.mark.parametrize(
    ("dtype", "mark", "written"),
    [
        ("i2", -9999, -9999.0), ("u2", 0, 0.0), ("u2", 65_535, 65_535.0), ("f4", LOWEST, LOWEST),
        ("f4", LOWEST, -3.40282e38), ("f4", -1e20, -1e20), ("f8", -1e20, -1e20),
        ("f4", 0.1, 0.1), (">f4", -9999, -9999.0), (">i2", -9999, -9999.0), ("i8", -9999, -9999.0),
        ("f4", np.inf, np.inf),
    ],
)  # fmt: skip
def test_marks_are_found_whatever_the_type_and_their_digits(
    dtype: str, mark: float, written: float
) -> None:
    values = np.array([1, mark, 3], dtype)
    assert is_mark(values, written).tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("dtype", "mark"), [("u2", -9999), ("u1", 256), ("i2", 0.5), ("f4", np.nan)]
)
def test_marks_that_a_type_cannot_hold_are_nowhere(dtype: str, mark: float) -> None:
    assert not is_mark(np.array([0, 1, 255], dtype), mark).any()


@pytest.mark.parametrize(
    ("values", "mark"),
    [
        (np.array([-9999, 300.5], np.float32), -9999), (np.array([-32768, 5], np.int16), -32768),
        (np.array([LOWEST, 5], np.float32), LOWEST), (np.array([1e20, 5]), 1e20),
        (np.array([np.nan, -9999, 5]), -9999), (np.array([0, 0, 21_000, 22_000], np.uint16), 0),
    ],
)  # fmt: skip
def test_usual_marks_are_recognised(values: np.ndarray, mark: float) -> None:
    assert usual_mark(values) == np.float32(mark)


@pytest.mark.parametrize(
    "values",
    [
        np.array([-9998, 5], np.int16), np.array([-40.5, 30.0]), np.array([0, 500, 900], np.uint16),
        np.array([np.inf, 1]), np.array([np.nan]), np.zeros(4, np.uint16), np.zeros(0),
        np.array([0, *[21_000] * 200], np.uint16), np.array([0, 255], np.uint8),
    ],
)  # fmt: skip
def test_measurements_are_no_marks(values: np.ndarray) -> None:
    assert usual_mark(values) is None


def test_values_without_marks_stay_and_others_are_floats_with_nan() -> None:
    counts = np.array([1, 2, 3], np.uint16)
    assert without_marks(counts, 0) == (counts, 0)
    cleaned, count = without_marks(counts, 2)
    assert (cleaned.dtype, count) == (np.dtype("f4"), 1)
    np.testing.assert_array_equal(cleaned, [1, np.nan, 3])
    assert without_marks(np.array([2**30 + 1, 5]), 5)[0].tolist()[0] == 2**30 + 1


def test_what_no_sensor_measures_is_finite_and_huge() -> None:
    values = np.array([1e18, 1e19, -1e20, np.inf, np.nan])
    assert is_beyond_measuring(values).tolist() == [False, True, True, False, False]
