from __future__ import annotations

import io
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile

from omnivec2.errors import InputError, InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess.formats.pictures.tiff import read_tiff
from omnivec2.preprocess.formats.pictures.tiff_pages.colours import read_colour_tiff
from omnivec2.preprocess.formats.pictures.tiff_pages.segments import MAX_TAGS, check_tags
from omnivec2.preprocess.notes import NoteCode, collect_notes
from omnivec2.spec import Limits
from tests.support.sample_files.tiff_bytes import tiff_bytes

LARGE = np.zeros((900, 900), np.uint8)
STREAMS = {
    "LERC": (34887, 32, imagecodecs.lerc_encode(LARGE.astype(np.uint32))),
    "PNG": (34933, 8, imagecodecs.png_encode(LARGE)),
    "JPEG": (7, 8, imagecodecs.jpeg8_encode(LARGE)),
    "JPEG 2000": (34712, 8, imagecodecs.jpeg2k_encode(LARGE, codecformat="J2K")),
    "WebP": (50001, 8, imagecodecs.webp_encode(np.zeros((900, 900, 3), np.uint8), lossless=True)),
}
READERS = [read_colour_tiff, lambda data, limits: read_tiff(data, limits, first_only=True)]


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("read", READERS, ids=["colour", "grey"])
def test_a_strip_that_holds_more_than_it_declares_is_refused_before_it_is_decoded(name, read):
    compression, bits, stream = STREAMS[name]
    data = tiff_bytes(stream, compression=compression, bits=bits)
    with pytest.raises(UndecodableError, match=r"holds 900 x 900 x \d samples.*64 x 64"):
        read(data, Limits())
    data = tiff_bytes(stream, compression=compression, bits=bits, tile=(64, 64))
    with pytest.raises(UndecodableError, match="more than it declares"):
        read(data, Limits())


def test_several_lerc_streams_in_one_strip_count_as_one():
    one = imagecodecs.lerc_encode(np.zeros((64, 64), np.uint32))
    read_colour_tiff(tiff_bytes(one, compression=34887, bits=32), Limits())
    with pytest.raises(UndecodableError, match="64 x 64 x 50 samples"):
        read_colour_tiff(tiff_bytes(one * 50, compression=34887, bits=32), Limits())


@pytest.mark.parametrize(("compression", "name"), [(50002, "JPEGXL"), (34934, "JPEGXR")])
def test_streams_whose_size_cannot_be_read_are_refused_by_name(compression, name):
    data = tiff_bytes(b"stream", compression=compression)
    with pytest.raises(InvalidInputError, match="unsupported: a TIFF of compression") as refusal:
        read_colour_tiff(data, Limits())
    assert name in str(refusal.value)
    assert "convert it with" in str(refusal.value)


@pytest.mark.parametrize("compression", [7, 34712, 34887, 34933, 50001])
def test_streams_that_are_none_are_refused(compression):
    data = tiff_bytes(b"no stream of any kind", compression=compression)
    with pytest.raises(UndecodableError, match=r"no readable \w+ stream"):
        read_colour_tiff(data, Limits())


@pytest.mark.parametrize(
    ("compression", "packed"),
    [
        (8, zlib.compress(bytes(9_000_000))),
        (50000, imagecodecs.zstd_encode(bytes(9_000_000))),
        (34925, imagecodecs.lzma_encode(bytes(9_000_000))),
        (5, imagecodecs.lzw_encode(bytes(9_000_000))),
        (32773, b"\x81\0" * 70_000),
    ],
    ids=["deflate", "zstd", "lzma", "lzw", "packbits"],
)
def test_bytes_never_unpack_to_more_than_a_strip_holds(compression, packed):
    try:
        picture = read_colour_tiff(tiff_bytes(packed, compression=compression), Limits())
    except InputError:
        return
    assert picture.size == (64, 64)


def test_declared_sizes_are_compared_with_the_limits():
    packed = zlib.compress(bytes(10))
    for data in (
        tiff_bytes(packed, (60_000, 60_000), compression=8),
        tiff_bytes(packed, compression=8, tile=(65_536, 65_536)),
        tiff_bytes(packed, (6_000, 6_000), compression=8, samples=200, photometric=2),
    ):
        with pytest.raises(TooLargeError, match="limit"):
            read_colour_tiff(data, Limits(pixels=50_000_000))


def test_pixels_beyond_the_end_of_the_file_are_a_truncation():
    file = io.BytesIO()
    tifffile.imwrite(file, LARGE)
    with pytest.raises(UndecodableError, match="truncated: pixels lie beyond its end"):
        read_colour_tiff(file.getvalue()[:-5], Limits())


def test_empty_tiles_are_zero_with_a_note():
    with collect_notes() as notes:
        picture = read_colour_tiff(tiff_bytes(b"", compression=8, tile=(64, 64)), Limits())
    assert picture.pixels.getextrema() == (0, 0)
    assert NoteCode.FILLED in {note.code for note in notes}


@pytest.mark.parametrize("is_big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_endless_tags_are_refused_before_any_is_read(is_big, order):
    mark = b"II" if order == "<" else b"MM"
    count = MAX_TAGS + 1
    if is_big:
        data = mark + struct.pack(f"{order}HHHQQ", 43, 8, 0, 16, count)
    else:
        data = mark + struct.pack(f"{order}HIH", 42, 8, count)
    with pytest.raises(InvalidInputError, match=r"513 tags, the limit \(tags\) is 512"):
        check_tags(data + bytes(20 * count))
    check_tags(mark)  # cut off: left to the reader


def test_many_damaged_tags_write_nothing_to_the_log(capfd):
    entries = b"".join(struct.pack("<HHII", 40_000 + i, 2, 2**30, 2**30) for i in range(400))
    data = b"II*\0" + struct.pack("<IH", 8, 400) + entries + bytes(4)
    with pytest.raises(InputError):
        read_colour_tiff(data, Limits())
    assert capfd.readouterr() == ("", "")
