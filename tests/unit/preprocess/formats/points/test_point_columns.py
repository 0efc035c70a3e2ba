from __future__ import annotations

import pytest

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.formats.points.point_columns import find_axes
from omnivec2.preprocess.notes import NoteCode, collect_notes


@pytest.mark.parametrize(
    ("names", "columns"),
    [
        ("x y z", (0, 1, 2)),
        ("Z Y X", (2, 1, 0)),
        ("id nx ny nz x y z vx vy vz", (4, 5, 6)),
        ("x_local x y z", (1, 2, 3)),
        ("rotation_x pos_x rotation_y pos_y rotation_z pos_z", (1, 3, 5)),
        ("Points_0 Points_1 Points_2", (0, 1, 2)),
        ("PositionX PositionY PositionZ", (0, 1, 2)),
        ("field.x field.y field.z", (0, 1, 2)),
        ("Northing Easting Height", (1, 0, 2)),
        ("Hochwert Rechtswert Höhe", (1, 0, 2)),
        ("x y elevation", (0, 1, 2)),
        ("lat lon x y z", (2, 3, 4)),
        ("#x 'y' \"z\"", (0, 1, 2)),
    ],
)
def test_axes_are_found_by_the_names_of_columns(names, columns):
    axes = find_axes(names.split())
    assert axes is not None
    assert axes.columns == columns


@pytest.mark.parametrize("names", [["a", "b", "c"], ["nx", "ny", "nz"], ["r", "g", "b"], ["", ""]])
def test_other_names_say_nothing(names):
    assert find_axes(names) is None


@pytest.mark.parametrize(
    ("names", "word"),
    [
        ("x y", "named x, y and z"),
        ("x X y z", "several columns may be x"),
        ("x_map x_local y_map y_local z_map z_local", "several columns"),
        ("lon lat alt", "longitude and latitude"),
        ("Longitude Latitude h", "longitude and latitude"),
        ("x_deg y_deg z_m", "degrees"),
    ],
)
def test_axes_that_are_missing_ambiguous_or_angles_are_refused(names, word):
    with pytest.raises(InvalidInputError, match=word):
        find_axes(names.split())


@pytest.mark.parametrize(
    ("names", "factors"),
    [
        (["x [m]", "y [m]", "z [m]"], (1, 1, 1)),
        (["x [mm]", "y [mm]", "z [mm]"], (1, 1, 1)),
        (["x (ft)", "y/m", "z_cm"], (0.3048, 1, 0.01)),
        (["x", "y", "z [mm]"], (1, 1, 1)),
    ],
)
def test_units_count_where_they_differ(names, factors):
    with collect_notes() as notes:
        axes = find_axes(names)
    assert axes is not None
    assert axes.factors == factors
    assert [note.code for note in notes] == ([] if set(factors) == {1} else [NoteCode.CONVERTED])


def test_columns_that_are_not_used_are_noted():
    with collect_notes() as notes:
        find_axes(["r", "x", "y", "z", ""])
    (note,) = notes
    assert (note.code, note.count) == (NoteCode.IGNORED, 2)
    assert "'r', '(no name)'" in note.text
