from __future__ import annotations

import numpy as np
import pytest

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.formats.cubes.holes import close_holes, holes_of
from omnivec2.preprocess.notes import collect_notes

BANDS = 8
CUBE = np.arange(4 * 5 * BANDS).reshape(4, 5, BANDS) % 101 + 100


def with_hole(dtype: str, mark: float) -> np.ndarray:
    cube = CUBE.astype(dtype)
    cube[1, 2] = mark
    return cube


def test_a_cube_without_holes_is_the_very_same() -> None:
    for dtype in ("i2", "u2", "f4", ">i4"):
        cube = CUBE.astype(dtype)
        with collect_notes() as notes:
            assert close_holes(cube, None) is cube
            assert close_holes(cube, -9999) is cube
        assert not len(notes)


@pytest.mark.parametrize(
    ("dtype", "mark", "stated"),
    [
        ("i2", -9999, -9999), ("u2", 65_535, 65_535), ("f4", -3.4e38, -3.40282e38),
        ("f4", np.nan, None), ("f4", np.inf, None), ("f4", -9999, -9999), ("i4", 0, 0),
        ("u1", 255, 255), (">i2", -1, -1), ("f4", 1e20, 1e20),
    ],
)  # fmt: skip
def test_marked_pixels_become_holes_and_are_noted_with_their_place(
    dtype: str, mark: float, stated: float | None
) -> None:
    if mark == -3.4e38:
        mark = float(np.finfo(np.float32).min)
    with collect_notes() as notes:
        closed = close_holes(with_hole(dtype, mark), stated)
    assert np.argwhere(holes_of(closed)).tolist() == [[1, 2]]
    kept = ~holes_of(closed)
    np.testing.assert_array_equal(closed[kept], CUBE.astype(dtype)[kept])
    (note,) = notes
    assert (note.code, note.count) == ("dropped", 1)
    assert "row 1, column 2" in note.text


@pytest.mark.parametrize(
    ("dtype", "mark"),
    [("i2", -9999), ("i2", -32768), ("u2", 65_535), ("f4", -9999), ("f4", -1e20), ("f4", 3e38)],
)
def test_usual_marks_that_are_not_stated_are_noted_as_a_guess(dtype: str, mark: float) -> None:
    with collect_notes() as notes:
        closed = close_holes(with_hole(dtype, mark), None)
    assert np.argwhere(holes_of(closed)).tolist() == [[1, 2]]
    assert [note.code for note in notes] == ["guessed"]


def test_single_bands_without_data_are_filled_with_a_note() -> None:
    cube = CUBE.astype(np.float32)
    cube[0, 1, 3], cube[2, 2, 0] = np.nan, np.nan
    with collect_notes() as notes:
        closed = close_holes(cube, None)
    assert closed[0, 1, 3] == CUBE[0, 1, 3]
    assert closed[2, 2, 0] == CUBE[2, 2, 1]
    (note,) = notes
    assert (note.code, note.count) == ("filled", 2)
    assert "row 0, column 1" in note.text


def test_a_pixel_that_lacks_most_bands_is_a_hole() -> None:
    cube = CUBE.astype(np.int16)
    cube[3, 4, :5] = -1
    assert np.argwhere(holes_of(close_holes(cube, -1))).tolist() == [[3, 4]]


def test_zero_in_some_bands_is_a_dark_measurement() -> None:
    cube = CUBE.astype(np.int16)
    cube[0, 0, :6] = 0
    assert close_holes(cube, 0) is cube


def test_places_are_those_of_the_whole_cube_however_large() -> None:
    cube = np.ones((3000, 40, 16), np.uint16) + np.arange(16, dtype=np.uint16)
    cube[2222, 33] = 0
    with collect_notes() as notes:
        assert np.argwhere(holes_of(close_holes(cube, None))).tolist() == [[2222, 33]]
    assert "row 2222, column 33" in next(iter(notes)).text
    with collect_notes() as notes:
        close_holes(cube.reshape(-1, 16), None)
    assert f"spectrum {2222 * 40 + 33}" in next(iter(notes)).text


@pytest.mark.parametrize("value", [np.nan, 0, -9999])
def test_a_cube_without_any_data_is_refused(value: float) -> None:
    with pytest.raises(InvalidInputError, match="no pixel of the cube holds data"):
        close_holes(np.full((2, 2, BANDS), value, np.float32), -9999)


def test_flat_spectra_are_noted() -> None:
    with collect_notes() as notes:
        close_holes(np.full((2, 2, BANDS), 7, np.int16), None)
    assert [note.code for note in notes] == ["empty"]
