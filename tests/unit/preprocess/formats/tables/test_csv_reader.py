from __future__ import annotations

import pytest

from omnivec2.errors import InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess.formats.tables.csv_reader import read_csv
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
