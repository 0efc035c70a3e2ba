from __future__ import annotations

import numpy as np
import pytest

from omnivec2.errors import InputError, InvalidInputError, UndecodableError
from omnivec2.preprocess.formats.points.point_text import read_point_text
from omnivec2.preprocess.notes import NoteCode, collect_notes

POINTS = [[1.5, 2.25, -3.0], [4.0, 5.5, 6.125], [7.0, 8.5, 9.0]]


def rows(separator: str, comma: bool = False) -> str:
    text = "\n".join(separator.join(map(str, row)) for row in POINTS)
    return text.replace(".", ",") if comma else text


@pytest.mark.parametrize(
    "text",
    [
        rows(" "),
        rows(","),
        rows(", "),
        rows(";"),
        rows("\t"),
        rows(" | "),
        rows("; ", comma=True),
        rows("\t", comma=True),
        rows("   ", comma=True),
        '"' + rows('","', comma=True).replace("\n", '"\n"') + '"',
        "x y z\n" + rows(","),
        "x,y,z\n" + rows(" "),
        "# x y z\n" + rows(" "),
        "// first\n\n%second\n" + rows(" "),
        "X;Y;Z;\n" + rows(";").replace("\n", ";\n") + ";",
        rows(",").replace("\n", ",\n") + ",",
        rows(" ").replace("\n", " # note\n"),
        "3\n" + rows(" "),
        "3\nC1 molecule\n" + rows(" "),
        rows(" ").replace("\n", "\r"),
        "x\ty\tz [\u00b5m]\n" + rows("\t"),
        rows(" ").replace("1.5", "1.5D0").replace("7.0", "7E+00"),
    ],
)
def test_numbers_are_read_however_they_are_separated(text):
    assert read_point_text(text.encode()).tolist() == POINTS
    assert read_point_text(text.encode("utf-16")).tolist() == POINTS
    assert read_point_text(text.encode("cp1252", "replace")).tolist() == POINTS


def test_thousands_are_read_where_no_other_reading_is_possible():
    text = b"x;y;z\n1.234,5;2.000,25;3,0\n10.000,0;5,0;1.000.000,0\n"
    assert read_point_text(text).tolist() == [[1234.5, 2000.25, 3], [10000, 5, 1e6]]
    with pytest.raises(InvalidInputError, match="thousands"):
        read_point_text(b"1,234.5;2;3\n4,5;6;7\n")


@pytest.mark.parametrize("text", ["x,y,z\n1,5,2,25,3,0\n", "1,05,2,25,3,0\n4,1,5,02,6,3\n"])
def test_commas_for_both_are_refused(text):
    with pytest.raises(InvalidInputError, match="decimal"):
        read_point_text(text.encode())


@pytest.mark.parametrize("word", ["nan", "NaN", "", "NULL", "N/A", "-nan(ind)", "1.#QNAN", "inf"])
def test_missing_numbers_are_nan_and_no_row_is_lost(word):
    points = read_point_text(f"x,y,z\n1,2,3\n{word},{word},{word}\n4,5,6\n".encode())
    assert points[[0, 2]].tolist() == [[1, 2, 3], [4, 5, 6]]
    assert not np.isfinite(points[1]).any()


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("0 1.5 2 3\n1 1.5 2 3\n2 1.5 2 3\n3 1.5 2 3", ["guessed"]),
        ("1.5 2 3 9 9 9\n1.5 2 3 9 9 9", ["ignored"]),
        ("wall 1.5 2 3\nroof 1.5 2 3", ["guessed"]),
        ("2024-01-01T00:00,1.5,2,3\n2024-01-01T00:01,1.5,2,3", ["guessed"]),
        ("a,b,c\n1.5,2,3\n1.5,2,3", ["guessed"]),
        ("0,1,2\n1.5,2,3\n1.5,2,3", ["guessed"]),
        (",0,1,2\n0,1.5,2,3\n1,1.5,2,3\n2,1.5,2,3\n3,1.5,2,3", ["guessed", "guessed"]),
        ("3\n1.5 2 3\n1.5 2 3", ["repaired"]),
        ("1.5 2 3\n1.5 2 3", []),
    ],
)
def test_every_guess_is_noted(text, codes):
    with collect_notes() as notes:
        assert set(map(tuple, read_point_text(text.encode()).tolist())) == {(1.5, 2, 3)}
    assert [note.code for note in notes][: len(codes)] == codes
    assert bool(codes) == bool(notes)


def test_a_first_point_of_0_1_2_is_a_point_among_whole_numbers():
    assert len(read_point_text(b"0,1,2\n3,4,5\n6,7,8\n")) == 3


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("a,b,c,d\n1,2,3,4\n5,6,7,8\n", "named x, y and z"),
        ("1 2\n3 4\n", "three numbers"),
        ("1 2 3\n4 5 six\n7 8 9\n" * 40, "three numbers"),
        ("x,y,z\n1,2,3\n4,5\n", "as point 2"),
        ("3\n2\n0 0 0\n1 0 0\n", "PTX"),
        ("time,lat,lon\n1,2,3\n", "latitude"),
        ("", "at least 1 point"),
    ],
)
def test_what_cannot_be_points_is_refused_with_a_reason(text, word):
    with pytest.raises(InputError, match=word):
        read_point_text(text.encode())


def test_a_long_quoted_line_is_an_input_error():
    with pytest.raises(UndecodableError):
        read_point_text(b'1,2,"' + b"3" * 200_000 + b'"\n')


def test_the_notes_name_what_to_state():
    with collect_notes() as notes:
        read_point_text(b"wall 1 2 3\nroof 4 5 6\n")
    (note,) = notes
    assert note.code is NoteCode.GUESSED
    assert "columns 2, 3, 4" in note.text
