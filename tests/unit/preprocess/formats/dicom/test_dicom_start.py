from __future__ import annotations

import struct

import pytest

from omnivec2.preprocess.formats.dicom.dicom_start import bare_syntax, is_dicom

EXPLICIT = struct.pack("<HH2sH", 8, 5, b"CS", 10)
BIG = struct.pack(">HH2sH", 8, 8, b"CS", 10)
IMPLICIT = struct.pack("<HHI", 8, 0x16, 26)


@pytest.mark.parametrize(
    ("data", "syntax"),
    [
        (EXPLICIT, "1.2.840.10008.1.2.1"),
        (BIG, "1.2.840.10008.1.2.2"),
        (IMPLICIT, "1.2.840.10008.1.2"),
    ],
)
def test_a_bare_data_set_is_recognised_by_its_first_element(data, syntax):
    assert bare_syntax(data) == syntax
    assert is_dicom(data)


@pytest.mark.parametrize(
    "data",
    [bytes(128) + b"DICM", b"DICM" + EXPLICIT, b"\2\0\0\0UL\4\0" + bytes(4)],
    ids=["preamble", "prefix only", "neither"],
)
def test_a_header_is_recognised_with_and_without_its_preamble(data):
    assert is_dicom(data)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\x08\0", b"\x89PNG\r\n\x1a\n" + bytes(200), bytes(300), b"hello, no picture",
        struct.pack("<HHI", 8, 0x16, 2**30), struct.pack("<HH2sH", 8, 0x1140, b"SQ", 0),
        struct.pack("<HH2sH", 0x10, 0x10, b"PN", 4),
    ],
)  # fmt: skip
def test_other_bytes_are_no_dicom(data):
    assert not is_dicom(data)
