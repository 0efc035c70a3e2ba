from __future__ import annotations

import io
import struct

import pytest
from PIL import Image

from omnivec2.errors import TooLargeError
from omnivec2.preprocess.formats.pictures.codestream import (
    MAX_JPEG_SCANS,
    check_scans,
    declared_size,
)

START, SCAN = b"\xff\xd8", b"\xff\xda"


def encode(kind: str, mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.new(mode, (31, 17)).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "JPEG2000"])
@pytest.mark.parametrize(("mode", "components"), [("RGB", 3), ("L", 1)])
def test_width_height_and_components_are_read_from_the_header(kind, mode, components):
    assert declared_size(encode(kind, mode)) == (31, 17, components)


def test_fill_bytes_and_markers_without_a_length_are_skipped():
    jpeg = encode("JPEG")
    filled = START + b"\xff\xff\xff\x01\xff\xd0" + jpeg[2:]
    assert declared_size(filled) == (31, 17, 3)


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        b"no codestream",
        START,
        START + b"\xff\xe0\0\2" + b"no marker",
        START + b"\xff\xc0\0",
        START + b"\xff\xe0",
        b"\xff\x4f\xff\x51\0",
        b"\0\0\0\x0cjP  and no codestream",
    ],
)
def test_a_stream_without_a_readable_header_declares_nothing(stream):
    assert declared_size(stream) is None


def test_many_scans_are_refused_and_more_so_in_a_large_picture():
    check_scans(START + SCAN * MAX_JPEG_SCANS, 1_000)
    check_scans(SCAN * 10_000, 1_000)  # not a JPEG
    with pytest.raises(TooLargeError, match="101 scans"):
        check_scans(START + SCAN * (MAX_JPEG_SCANS + 1), 1_000)
    with pytest.raises(TooLargeError, match="2 scans of 300,000,000 pixels"):
        check_scans(START + SCAN * 2, 300_000_000)


def test_truncated_headers_of_every_length_are_survived():
    for kind in ("JPEG", "JPEG2000"):
        data = encode(kind)
        for size in range(0, 200, 7):
            assert declared_size(data[:size]) in (None, (31, 17, 3))
    assert declared_size(START + b"\xff\xe0" + struct.pack(">H", 60_000)) is None
