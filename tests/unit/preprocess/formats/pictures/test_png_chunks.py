from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from omnivec2.errors import TooLargeError
from omnivec2.preprocess.formats.pictures import png_chunks
from omnivec2.preprocess.formats.pictures.png_chunks import read_chunks
from omnivec2.preprocess.notes import NoteCode, collect_notes

SIGNATURE = b"\x89PNG\r\n\x1a\n"
PIXELS = np.arange(48, dtype=np.uint8).reshape(4, 4, 3) * 5


def chunk(name: bytes, body: bytes, checksum: int | None = None) -> bytes:
    checksum = zlib.crc32(name + body) if checksum is None else checksum
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", checksum)


def png(*before: bytes, after: bytes = b"", bits: int = 8, colour_type: int = 2) -> bytes:
    header = struct.pack(">IIBBBBB", 4, 4, bits, colour_type, 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in PIXELS)
    body = chunk(b"IHDR", header) + b"".join(before) + chunk(b"IDAT", zlib.compress(rows))
    return SIGNATURE + body + after + chunk(b"IEND", b"")


def decoded(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data), formats=("PNG",)))


@pytest.mark.parametrize(
    "needless",
    [
        chunk(b"tEXt", b"Comment\0" + b"x" * 9_000_000),
        chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(3_000_000))),
        chunk(b"iTXt", b"workflow\0\1\0\0\0" + zlib.compress(bytes(3_000_000))),
        chunk(b"pHYs", b"too short"),
        chunk(b"cHRM", b""),
        chunk(b"abCd", b"nobody knows it"),
    ],
    ids=["long text", "packed text", "international text", "pHYs", "cHRM", "private"],
)
def test_chunks_that_show_nothing_never_reach_the_decoder(needless):
    for data in (png(needless), png(after=needless)):
        with collect_notes() as notes:
            file = read_chunks(data)
        np.testing.assert_array_equal(decoded(file.data), PIXELS)
        assert len(file.data) < 300
        assert not notes


@pytest.mark.parametrize("name", [b"tEXt", b"tIME", b"iCCP", b"eXIf", b"gAMA", b"tRNS", b"teSt"])
def test_a_wrong_checksum_of_a_chunk_beside_the_pixels_is_a_note(name):
    with collect_notes() as notes:
        file = read_chunks(png(chunk(name, b"ab\0cd", checksum=1)))
    np.testing.assert_array_equal(decoded(file.data), PIXELS)
    (note,) = notes
    assert note.code == NoteCode.REPAIRED
    assert f"{name.decode()} of the PNG has a wrong checksum" in note.text


def test_a_whole_file_stays_as_it_is():
    data = png()
    assert read_chunks(data).data is data


def test_significant_bits_transparency_and_depth_are_read():
    file = read_chunks(
        png(
            chunk(b"sBIT", b"\x0c\x0b\x0a"), chunk(b"tRNS", struct.pack(">HHH", 1, 2, 300)), bits=16
        )
    )
    assert (file.bit_depth, file.colour_type) == (16, 2)
    assert file.significant_bits == 12
    assert file.transparent == (1, 2, 300)


def test_the_frames_of_an_animation_are_counted_and_left_out():
    frames = (chunk(b"acTL", struct.pack(">II", 7, 0)), chunk(b"fcTL", bytes(26)))
    file = read_chunks(png(*frames, after=chunk(b"fdAT", bytes(99))))
    assert file.frames == 7
    assert b"fdAT" not in file.data


def test_a_profile_is_unpacked_within_its_bound(monkeypatch):
    monkeypatch.setattr(png_chunks, "MAX_PROFILE_BYTES", 1000)
    small = chunk(b"iCCP", b"name\0\0" + zlib.compress(b"profile"))
    assert read_chunks(png(small)).profile == b"profile"
    bomb = chunk(b"iCCP", b"name\0\0" + zlib.compress(bytes(50_000_000)))
    with collect_notes() as notes:
        assert read_chunks(png(bomb)).profile is None
    assert "too large" in next(iter(notes)).text
    with collect_notes() as notes:
        assert read_chunks(png(chunk(b"iCCP", b"name\0\0no zlib"))).profile is None
    assert "damaged" in next(iter(notes)).text


def test_a_gamma_that_is_not_that_of_srgb_is_a_note():
    with collect_notes() as notes:
        read_chunks(png(chunk(b"gAMA", struct.pack(">I", 45455))))
        read_chunks(png(chunk(b"sRGB", b"\0"), chunk(b"gAMA", struct.pack(">I", 100_000))))
    assert not notes
    with collect_notes() as notes:
        read_chunks(png(chunk(b"gAMA", struct.pack(">I", 100_000))))
    assert "gamma of 1.000" in next(iter(notes)).text


def test_the_orientation_is_found_wherever_programs_write_it():
    exif = Image.Exif()
    exif[0x0112] = 6
    raw = exif.tobytes().removeprefix(b"Exif\0\0")
    packet = b'<x tiff:Orientation="6"/>'
    raw_profile = f"\nexif\n{len(raw)}\n{(b'Exif' + bytes(2) + raw).hex()}".encode()
    for holder in (
        chunk(b"eXIf", raw),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0en\0\0" + zlib.compress(packet)),
        chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(raw_profile)),
        chunk(b"tEXt", b"Raw profile type exif\0" + raw_profile),
    ):
        assert read_chunks(png(holder)).orientation == 6
        assert read_chunks(png(after=holder)).orientation == 6
    for broken in (
        chunk(b"eXIf", b"II*\0\xff\xff\xff\xff"),
        chunk(b"zTXt", b"Raw profile type exif\0\0no zlib"),
        chunk(b"tEXt", b"Raw profile type exif\0\n\n\nno hex"),
    ):
        assert read_chunks(png(broken)).orientation == 1


def test_endless_chunks_are_refused(monkeypatch):
    monkeypatch.setattr(png_chunks, "MAX_CHUNKS", 100)
    with pytest.raises(TooLargeError, match="more than 100 chunks"):
        read_chunks(png(*[chunk(b"abCd", b"")] * 101))


def test_truncated_files_of_every_length_are_survived():
    data = png(chunk(b"tEXt", b"Comment\0text"), chunk(b"sBIT", b"\x08\x08\x08"))
    for size in range(len(data)):
        read_chunks(data[:size])
