from __future__ import annotations

import numpy as np
import pytest

from omnivec2.errors import InputError, InvalidInputError, UndecodableError
from omnivec2.preprocess.formats.cubes.envi_header import parse_header
from omnivec2.preprocess.notes import collect_notes

FIELDS = {
    "samples": "3",
    "lines": "2",
    "bands": "4",
    "data type": "12",
    "interleave": "bil",
    "byte order": "1",
}


def header(first: str = "ENVI", end: str = "\n", **fields: str | None) -> str:
    given = {name.replace("_", " "): value for name, value in fields.items()}
    values = {name: value for name, value in (FIELDS | given).items() if value is not None}
    return end.join([first, *(f"{name} = {value}" for name, value in values.items()), ""])


def test_sizes_order_and_type_are_read() -> None:
    found = parse_header(header(header_offset="16").encode())
    assert (found.shape, found.interleave, found.dtype, found.offset) == (
        (2, 3, 4), "bil", np.dtype(">u2"), 16,
    )  # fmt: skip
    assert found.nbytes == 48


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1", "cp1252"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_headers_of_any_encoding_and_line_ends_are_read(encoding: str, end: str) -> None:
    text = header(end=end, wavelength_units="µm", wavelength="{0.4, 0.5,\n0.6, 0.7 }")
    found = parse_header(text.encode(encoding))
    wavelengths = found.wavelengths_nm()
    assert wavelengths is not None
    np.testing.assert_allclose(wavelengths, [400, 500, 600, 700])


def test_names_may_be_in_capitals_with_spaces_and_comments_between() -> None:
    text = header().replace("bands =", "  BANDS=").replace("\n", "\n; a note = 1\n\n", 1)
    assert parse_header(text.encode()).shape == (2, 3, 4)


def test_values_may_have_braces_comments_and_decimal_points() -> None:
    text = header(
        samples="{3}", lines="2.0", bands="4 ; as many", byte_order="1 ; big", interleave="BIL ;"
    )
    found = parse_header(text.encode())
    assert (found.shape, found.interleave, found.dtype) == ((2, 3, 4), "bil", np.dtype(">u2"))
    for wrong in ("2.5", "nan", "inf", "1e999"):
        with pytest.raises(InvalidInputError, match="whole number"):
            parse_header(header(lines=wrong).encode())


def test_a_header_without_its_first_line_is_read_with_a_note() -> None:
    with collect_notes() as notes:
        found = parse_header(header().removeprefix("ENVI\n").encode())
    assert found.shape == (2, 3, 4)
    assert [note.code for note in notes] == ["repaired"]


@pytest.mark.parametrize(("field", "dtype"), [("byte_order", "<u2"), ("interleave", ">u2")])
def test_fields_with_a_usual_value_may_be_missing_with_a_note(field: str, dtype: str) -> None:
    with collect_notes() as notes:
        found = parse_header(header(**{field: None}).encode())
    assert found.dtype == np.dtype(dtype)
    assert found.interleave == ("bsq" if field == "interleave" else "bil")
    assert [note.code for note in notes] == ["guessed"]


def test_a_single_byte_needs_no_byte_order() -> None:
    with collect_notes() as notes:
        assert parse_header(header(data_type="1", byte_order=None).encode()).dtype == np.uint8
    assert not len(notes)


@pytest.mark.parametrize("number", range(16))
def test_every_type_of_real_numbers_is_known_and_no_other(number: int) -> None:
    expected = {
        1: "u1", 2: "i2", 3: "i4", 4: "f4", 5: "f8", 12: "u2", 13: "u4", 14: "i8", 15: "u8",
    }  # fmt: skip
    text = header(data_type=str(number), byte_order="0").encode()
    if number in expected:
        assert parse_header(text).dtype == np.dtype(expected[number])
    else:
        with pytest.raises(InvalidInputError, match="expected real numbers"):
            parse_header(text)


def test_bad_bands_and_numbers_are_read() -> None:
    found = parse_header(header(bbl="{1, 0,\n 1.0, 0.0}", data_ignore_value="-9999.00").encode())
    bad = found.bad_bands()
    assert bad is not None
    assert bad.tolist() == [False, True, False, True]
    assert found.number("data ignore value") == -9999
    assert found.number("reflectance scale factor") is None


def test_lists_and_numbers_that_are_none_are_left_out_with_a_note() -> None:
    found = parse_header(
        header(bbl="{1, 0}", wavelength="{a,b,c,d}", data_ignore_value="none").encode()
    )
    with collect_notes() as notes:
        assert found.bad_bands() is None
        assert found.wavelengths_nm() is None
        assert found.number("data ignore value") is None
    assert [note.field for note in notes] == ["bbl", "wavelength", "data ignore value"]


def test_a_spectral_library_is_a_list_of_spectra() -> None:
    found = parse_header(header(file_type="ENVI Spectral Library", bands="1").encode())
    assert (found.shape, found.is_library) == ((2, 1, 3), True)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("BIL\n", UndecodableError, "first line must be ENVI"),
        ("", UndecodableError, "first line must be ENVI"),
        (header(wavelength="{1, 2"), UndecodableError, "'wavelength' has no closing brace"),
        (header(lines=None), InvalidInputError, "no field 'lines'"),
        (header(lines="two"), InvalidInputError, "whole number in the ENVI header's field 'lines'"),
        (header(lines="0"), InvalidInputError, "impossible size"),
        (header(data_type=None), InvalidInputError, "no field 'data type'"),
        (header(byte_order="2"), InvalidInputError, "byte order 0 or 1"),
        (header(file_compression="1"), InvalidInputError, "save it uncompressed"),
        (header(major_frame_offsets="{0, 4}"), InvalidInputError, "save it without frames"),
    ],
)  # fmt: skip
def test_headers_that_cannot_be_used_say_why(
    text: str, error: type[InputError], message: str
) -> None:
    with pytest.raises(error, match=message):
        parse_header(text.encode())
