from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.formats.measurements.depth_units import (
    MILLIMETRES_PER_UNIT,
    DepthOptions,
    concluded_scale,
    note_unusual,
    to_millimetres,
    unit_named,
    without_depth,
)
from omnivec2.preprocess.notes import collect_notes


def room(metres: float, dtype: str = "f4") -> np.ndarray:
    """Depths about so many metres, in their unit, with missing pixels."""
    depth = np.linspace(metres * 0.8, metres * 1.2, 300).reshape(1, 15, 20)
    depth[0, 0, :3] = 0
    return depth.astype(dtype)


@pytest.mark.parametrize("unit", MILLIMETRES_PER_UNIT)
def test_stated_units_and_scales_multiply(unit: str) -> None:
    factor = MILLIMETRES_PER_UNIT[unit]
    assert DepthOptions(depth_unit=unit).millimetres_per_number == factor
    assert DepthOptions(depth_unit=unit, scale=0.5).millimetres_per_number == factor / 2
    assert DepthOptions().millimetres_per_number is None
    assert DepthOptions(scale=0.0002).millimetres_per_number == pytest.approx(0.2)
    for wrong in (0, -1, 5000):
        with pytest.raises(ValidationError):
            DepthOptions(scale=wrong)


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("m", "m"),
        (" MM ", "mm"),
        ("Meters", "m"),
        ("centimetre", "cm"),
        ("µm", "um"),
        ("feet", "ft"),
    ],
)
def test_units_are_known_by_their_usual_names(text: str, unit: str) -> None:
    assert unit_named(text, "unit") == unit


@pytest.mark.parametrize("text", ["furlong", "", None, 1, ["m"]])
def test_other_units_are_refused_with_those_that_are_known(text: object) -> None:
    with pytest.raises(InvalidInputError, match="one of m, cm, mm"):
        unit_named(text, "unit")


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4"])
@pytest.mark.parametrize("metres", [0.3, 2.5, 8, 30])
def test_floats_of_a_room_are_metres_and_a_thousand_times_as_many_millimetres(
    metres: float, dtype: str
) -> None:
    with collect_notes() as notes:
        assert concluded_scale(room(metres, dtype), whole_are_mm=True) == 1000
    assert not len(notes)
    if metres >= 0.5:
        with collect_notes() as notes:
            assert concluded_scale(room(metres * 1000, dtype), whole_are_mm=True) == 1
        assert [note.code for note in notes] == ["guessed"]


@pytest.mark.parametrize("median", [60, 150, 300])
def test_floats_that_may_be_of_several_units_are_refused(median: float) -> None:
    with pytest.raises(InvalidInputError, match="metres, centimetres or millimetres"):
        concluded_scale(room(median), whole_are_mm=True)


def test_integers_are_millimetres_in_files_and_by_their_size_in_json() -> None:
    with collect_notes() as notes:
        assert concluded_scale(room(3000, "u2"), whole_are_mm=True) == 1
        assert concluded_scale(room(3, "i8"), whole_are_mm=False) == 1000
    assert not len(notes)
    with collect_notes() as notes:
        assert concluded_scale(room(3000, "i8"), whole_are_mm=False) == 1
    assert [note.code for note in notes] == ["guessed"]


def test_depth_up_to_exactly_one_is_noted_as_normalised() -> None:
    depth = np.linspace(0, 1, 300, dtype=np.float32).reshape(1, 15, 20)
    with collect_notes() as notes:
        assert concluded_scale(depth, whole_are_mm=True) == 1000
    assert [note.code for note in notes] == ["unusual"]


@pytest.mark.parametrize(
    ("dtype", "mark", "scale"),
    [
        ("u2", 65_535, 1), ("u2", 65_535, 0.2), ("i2", 32_767, 1), ("i4", 65_535, 1),
        ("u4", 2**32 - 1, 1), ("f4", 65_535, 1), ("f4", 65.535, 1000), ("f4", 3.4e38, 1000),
        ("f8", 1e20, 1),
    ],
)  # fmt: skip
def test_the_largest_numbers_are_no_data_with_a_note(dtype: str, mark: float, scale: float) -> None:
    with collect_notes() as notes:
        found = to_millimetres(np.array([[[2, mark, 3, mark]]], dtype), scale)
    assert (found > 0).tolist() == [[[scale >= 1, False, True, False]]]
    assert [(note.code, note.count) for note in notes] == [("guessed", 2)]


def test_marks_of_missing_depth_become_zero() -> None:
    depth = np.array([[7, 500]], np.uint16)
    assert without_depth(depth, 7).tolist() == [[0, 500]]
    assert without_depth(depth, 8) is depth


@pytest.mark.parametrize(
    ("millimetres", "codes"),
    [
        (room(2000, "u2"), []), (room(16_000, "u2"), ["unusual"]), (room(8, "u2"), ["unusual"]),
        (np.full((1, 4, 4), 900, np.uint16), ["empty"]), (np.zeros((1, 4, 4), np.uint16), []),
    ],
)  # fmt: skip
def test_depths_that_a_head_cannot_know_are_noted(
    millimetres: np.ndarray, codes: list[str]
) -> None:
    with collect_notes() as notes:
        note_unusual(millimetres, 4080)
    assert [note.code for note in notes] == codes
