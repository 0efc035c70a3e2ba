from __future__ import annotations

from dataclasses import replace

import pytest

from omnivec2.errors import InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess.formats.tables.csv_reader import read_csv
from omnivec2.preprocess.formats.tables.frame import Frame
from omnivec2.preprocess.formats.tables.table_options import TableOptions
from omnivec2.preprocess.notes import NoteCode, collect_notes
from omnivec2.spec import Limits

LIMITS = Limits(rows=1_000, columns=20, decoded_bytes=2**20)


def test_a_header_line_is_distinguished_from_data():
    assert list(read_csv(b"a,b\n1,2\n", LIMITS).columns) == ["a", "b"]
    assert list(read_csv(b"1,2\n3,4\n", LIMITS).columns) == ["column 1", "column 2"]
    assert not read_csv(b"2020-01-01,2\n2020-01-02,4\n", LIMITS).named
    assert read_csv(b"date,0,1\n2020-01-01,2,3\n", LIMITS).named


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_delimiter_is_detected_in_the_first_line(delimiter):
    data = delimiter.join("ab").encode() + b"\n" + delimiter.join("12").encode()
    assert list(read_csv(data, LIMITS).columns) == ["a", "b"]


def test_quotes_line_ends_and_blank_lines_are_understood():
    frame = read_csv(b'a,"b, c"\r\n1,"x\r\ny"\r\n\r\n2,z\r\n', LIMITS)
    assert frame.texts("b, c") == ["x\r\ny", "z"]
    assert frame.numbers("a").tolist() == [1, 2]


@pytest.mark.parametrize("line", ["3", "3,4,5"])
def test_rows_of_another_length_are_refused_with_their_line(line):
    with pytest.raises(InvalidInputError, match=r"CSV line 3 has \d fields; expected 2"):
        read_csv(f"a,b\n1,2\n{line}\n5,6\n".encode(), LIMITS)


def test_columns_of_the_same_name_and_other_values_are_refused_where_they_are_read():
    with collect_notes() as notes:
        frame = read_csv(b"a,a,b,b,c\n1,2,3,3,4\n", LIMITS)
    assert list(frame.columns) == ["b", "c"]
    assert [(n.code, n.field) for n in notes] == [(NoteCode.IGNORED, "a")]
    frame.require(["b", "c"])
    with pytest.raises(InvalidInputError, match="two columns are named 'a'"):
        frame.require(["a"])


@pytest.mark.parametrize("data", [b'a,b\n"1,2\n', b'a,b\n"1"x,2\n', b"a\n" + b"9" * 200_000])
def test_csv_that_cannot_be_read_is_undecodable(data):
    with pytest.raises(UndecodableError, match="CSV line"):
        read_csv(data, LIMITS)


@pytest.mark.parametrize("data", [b"\n\n", b"a,b\n"])
def test_csv_without_rows_is_refused(data):
    with pytest.raises(InvalidInputError):
        read_csv(data, LIMITS)


@pytest.mark.parametrize("data", [b"," * 5_000_000, b"a,b\n" + b"," * 5_000_000, b"1\n" * 2_000])
def test_csv_over_a_limit_is_refused(data):
    with pytest.raises(TooLargeError):
        read_csv(data, LIMITS)


def notes_of(data: bytes, **options: str) -> tuple[Frame, set[NoteCode]]:
    with collect_notes() as notes:
        frame = read_csv(data, LIMITS, TableOptions.model_validate(options))
    return frame, {note.code for note in notes}


@pytest.mark.parametrize(
    "data",
    [
        b"a|b\n1|2\n3|4\n",
        b"a b\n1 2\n3 4\n",
        b"  a   b\n  1.0   2.0\n  3.0   4.0\n",
        b"sep=;\r\na;b\r\n1;2\r\n3;4\r\n",
        b"a,b\r1,2\r3,4\r",
        b'"a";"b"\n"1";"2"\n"3";"4"\n',
        b"a,b\n1,2,\n3,4,\n",
        b"a,b,\n1,2\n3,4\n",
        b"a,b,,\n1,2,,\n3,4,,\n",
        b"\xef\xbb\xbfa,b\n1,2\n3,4\n",
        "a\tb\n1\t2\n3\t4\n".encode("utf-16"),
        b"#a,b\n1,2\n3,4\n",
        b"\n\na,b\n1,2\n\n3,4\n",
    ],
)
def test_the_same_table_is_read_from_all_its_spellings(data):
    frame, codes = notes_of(data)
    assert list(frame.columns) == ["a", "b"]
    assert frame.numbers("a").tolist() == [1, 3]
    assert frame.numbers("b").tolist() == [2, 4]
    assert not codes


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"Report of May\nmade by us\na,b\n1,2\n3,4\n", NoteCode.IGNORED),
        (b"# one, two, three\na,b,c,d\n1,2,3,4\n3,4,5,6\n", NoteCode.IGNORED),
        (b"Report,,\n,,\na,b,c\n1,2,3\n3,4,5\n", NoteCode.IGNORED),
        (b"Report,\na,b\n1,2\n3,4\n", NoteCode.IGNORED),
        (b"a,b\ns,m/s\n1,2\n3,4\n", NoteCode.IGNORED),
        (b"a,b\n[s],-\n1,2\n3,4\n", NoteCode.IGNORED),
        (b"a,b\n1,2\n,\n3,4\n, \n,\n", NoteCode.DROPPED),
        (b"a\n1\n\n3\n", NoteCode.DROPPED),
        (b"a,b\nx,1,2\ny,3,4\n", NoteCode.IGNORED),
    ],
)
def test_what_is_no_row_of_the_table_is_left_out_and_noted(data, code):
    frame, codes = notes_of(data)
    assert frame.numbers("a").tolist() == [1, 3]
    assert code in codes


@pytest.mark.parametrize(
    "data",
    [
        b"a,b\nred,1\nblue,2\n",
        b"a,b\nred,many\nblue,2\n",
        b"a,b\n,many\nblue,2\n",
        b"a,b\nm,\nf,2\n",
        b"a\nx\n1\n",
        b"a,\nx,1\ny,2\n",
    ],
)
def test_a_first_row_of_texts_is_no_row_of_units(data):
    frame, codes = notes_of(data)
    assert frame.rows == 2
    assert not codes


def test_rows_that_grow_longer_are_refused_below_values():
    with pytest.raises(InvalidInputError, match="CSV line 4 has 3 fields; expected 2"):
        read_csv(b"a,b\n1,2\n3,4\n5,6,7\n8,9,10\n", LIMITS)


def test_names_may_be_numbers_with_units():
    frame = read_csv(b"5 min,10 min\n1,2\n3,4\n", LIMITS)
    assert list(frame.columns) == ["5 min", "10 min"]


def test_units_below_the_names_are_kept():
    frame, _ = notes_of(b"t,v,w\ns,(m/s),\n1,2,x\n3,4,y\n")
    assert dict(frame.units) == {"t": "s", "v": "m/s"}


def test_semicolons_leave_commas_to_decimals():
    frame, codes = notes_of(b"a;b\n1,5;2,25\n2,5;3,25\n")
    assert frame.numbers("a").tolist() == [1.5, 2.5]
    assert not codes
    frame, _ = notes_of(b"1,5;2,5\n3,5;4,5\n")
    assert frame.numbers("column 2").tolist() == [2.5, 4.5]


def test_thousands_follow_the_decimal_mark_of_the_table():
    frame, _ = notes_of(b"a;b\n1.234;0,5\n5.678;1,5\n")
    assert frame.numbers("a").tolist() == [1234, 5678]
    frame, _ = notes_of(b'a,b\n"1,234",0.5\n"5,678",1.5\n')
    assert frame.numbers("a").tolist() == [1234, 5678]


def test_what_can_be_read_both_ways_is_noted_or_stated():
    data = b"a;b\n1,234;x\n5,678;y\n"
    with collect_notes() as notes:
        assert read_csv(data, LIMITS).numbers("a").tolist() == [1.234, 5.678]
    assert [note.code for note in notes] == [NoteCode.GUESSED]
    with collect_notes() as notes:
        frame = replace(read_csv(data, LIMITS), decimal=".")
        assert frame.numbers("a").tolist() == [1234, 5678]
    assert not len(notes)


def test_a_stated_delimiter_is_used():
    frame, _ = notes_of(b"a;b|c\n1;2|3\n", delimiter="|")
    assert list(frame.columns) == ["a;b", "c"]


def test_lost_line_breaks_are_named():
    line = ",".join(["age", "sex39", "Male51", "Female"]).encode()
    for data in (line, b",".join([line] * 20)):
        with pytest.raises(InvalidInputError, match=r"line breaks.*--data-binary"):
            read_csv(data, LIMITS)


def test_an_index_of_row_numbers_is_left_out_and_one_of_times_is_kept():
    assert list(read_csv(b",a\n0,1\n1,2\n", LIMITS).columns) == ["a"]
    assert list(read_csv(b"Unnamed: 0,a\n0,1\n1,2\n", LIMITS).columns) == ["a"]
    frame = read_csv(b",a\n2024-01-01,1\n2024-01-02,2\n", LIMITS)
    assert list(frame.columns) == ["column 1", "a"]


def test_a_table_without_names_says_so_where_names_are_needed():
    with pytest.raises(InvalidInputError, match="no names: send a header line"):
        read_csv(b"1,2\n3,4\n", LIMITS).require(["a"])
    with pytest.raises(InvalidInputError, match="lack a header line"):
        read_csv(b"39,x\n40,y\n", LIMITS).require(["a"])


def test_truth_values_and_written_numbers_are_no_names():
    assert not read_csv(b"True,1\nFalse,2\n", LIMITS).named
    assert not read_csv(b"1,5;x1\n".replace(b"x1", b"2,5") * 2, LIMITS).named


def test_points_that_may_separate_thousands_are_noted_beside_semicolons():
    assert notes_of(b"a;b\n1.234;x\n;y\n5.678;z\n")[1] == {NoteCode.GUESSED}
    for data in (b"a;b\n1.234;x\n0.5;y\n", b"a,b\n1.234,x\n5.678,y\n", b"a;b\n1.5;x\n"):
        assert not notes_of(data)[1]


def test_names_may_be_written_as_tags():
    frame = read_csv(b"<DATE>;<CLOSE>\n20240101;1.5\n20240102;2.5\n", LIMITS)
    assert list(frame.columns) == ["DATE", "CLOSE"]


def test_the_dashes_of_a_markdown_table_are_no_row():
    frame, codes = notes_of(b"| a | b |\n|---|:---:|\n| 1 | x |\n| 2 | y |\n")
    assert frame.numbers("a").tolist() == [1, 2]
    assert codes == {NoteCode.DROPPED}
    frame, _ = notes_of(b"a,b\n---,1\n2,3\n")
    assert len(frame.columns["a"]) == 2
    with pytest.raises(InvalidInputError, match="no rows"):
        read_csv(b"| a | b |\n|---|---|\n", LIMITS)
