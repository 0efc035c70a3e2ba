from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from omnivec2.errors import TooLargeError, UndecodableError
from omnivec2.preprocess.formats.pictures.grey_pictures import read_grey_picture
from omnivec2.preprocess.formats.pictures.picture_files import read_picture
from omnivec2.preprocess.formats.pictures.plain_pictures import to_plain_mode
from omnivec2.preprocess.notes import NoteCode, collect_notes
from omnivec2.spec import Limits

Y, X = np.mgrid[:30, :44]
COLOURS = np.stack([5 * X, 8 * Y, 128 + 100 * np.sin(X / 5) * np.cos(Y / 7)], -1).astype(np.uint8)
COLOURS[0, 0] = 255
GREY = np.ascontiguousarray(COLOURS[..., 0])
SEE_THROUGH = np.where(X < 22, 0, 255).astype(np.uint8)
LIMITS = Limits()


def encoded(picture: Image.Image | np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    picture = Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture
    picture.save(file, kind, **options)
    return file.getvalue()


def with_chunk(png: bytes, name: bytes, body: bytes) -> bytes:
    chunk = struct.pack(">I", len(body)) + name + body + zlib.crc32(name + body).to_bytes(4)
    return png[:33] + chunk + png[33:]


def shown(data: bytes, kind: str = "PNG") -> tuple[np.ndarray, list[NoteCode]]:
    with collect_notes() as notes:
        pixels = read_picture(data, kind, LIMITS).pixels
    return np.asarray(pixels).astype(int), [note.code for note in notes]


def assert_same(found: np.ndarray, expected: np.ndarray, tolerance: int = 1) -> None:
    assert found.shape == expected.shape
    assert np.abs(found - expected.astype(int)).max() <= tolerance


DEEP = {
    "grey": GREY,
    "grey and alpha": np.dstack([GREY, SEE_THROUGH]),
    "colours": COLOURS,
    "colours and alpha": np.dstack([COLOURS, SEE_THROUGH]),
}


@pytest.mark.parametrize("name", DEEP)
@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize("is_stated", [False, True])
def test_16_bit_pngs_are_read_whole_whatever_their_channels(name, bits, is_stated):
    white = (1 << bits) - 1
    samples = np.ascontiguousarray((DEEP[name].astype(np.uint32) * white // 255).astype(np.uint16))
    data = imagecodecs.png_encode(samples)
    if is_stated:
        channels = 1 if samples.ndim == 2 else samples.shape[2]
        data = with_chunk(data, b"sBIT", bytes([bits] * channels))
    found, notes = shown(data)
    colours = COLOURS if "colours" in name else GREY
    if name == "grey and alpha":
        colours = np.dstack([GREY] * 3)
    if "alpha" in name:
        assert_same(found[..., 3], SEE_THROUGH)
        found = found[..., :3]
    assert_same(found, colours)
    assert notes == ([] if is_stated or bits == 16 else [NoteCode.GUESSED])
    grey = read_grey_picture(data, "PNG", LIMITS)
    assert grey.dtype == np.uint16
    if "grey" in name:
        np.testing.assert_array_equal(grey, samples if samples.ndim == 2 else samples[..., 0])
    else:
        luma = np.asarray(Image.fromarray(COLOURS).convert("L")) * (white / 255)
        assert np.abs(grey - luma).max() < white / 120


@pytest.mark.parametrize("value", [0, 255, 60])
def test_one_value_of_a_16_bit_png_may_be_transparent(value):
    samples = GREY.astype(np.uint16) * 257
    data = with_chunk(imagecodecs.png_encode(samples), b"tRNS", struct.pack(">H", value * 257))
    found, _ = shown(data)
    assert_same(found[..., 0], GREY)
    np.testing.assert_array_equal(found[..., 3], np.where(value == GREY, 0, 255))
    np.testing.assert_array_equal(read_grey_picture(data, "PNG", LIMITS), samples)


def test_one_colour_of_a_16_bit_png_may_be_transparent():
    colour = COLOURS[7, 9].astype(np.uint16) * 257
    data = imagecodecs.png_encode(COLOURS.astype(np.uint16) * 257)
    found, _ = shown(with_chunk(data, b"tRNS", struct.pack(">HHH", *colour)))
    assert_same(found[..., :3], COLOURS)
    np.testing.assert_array_equal(
        found[..., 3] == 0, (COLOURS.astype(np.uint16) * 257 == colour).all(axis=-1)
    )


def test_deep_channels_are_compared_with_the_limit_on_bytes():
    data = imagecodecs.png_encode(COLOURS.astype(np.uint16))
    with pytest.raises(TooLargeError, match=r"limit \(decoded_bytes\)"):
        read_picture(data, "PNG", Limits(decoded_bytes=7_000))


def bmp(colours_and_alpha: np.ndarray, header: int) -> bytes:
    """A BMP of 32 bits with masks for four channels."""
    height, width = colours_and_alpha.shape[:2]
    body = colours_and_alpha[::-1, :, [2, 1, 0, 3]].tobytes()
    masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    fields = struct.pack("<IiiHHIIiiII", header, width, height, 1, 32, 3, len(body), 0, 0, 0, 0)
    head = (fields + masks + b"BGRs").ljust(header, b"\0")
    return struct.pack("<2sIHHI", b"BM", 0, 0, 0, 14 + len(head)) + head + body


@pytest.mark.parametrize("header", [56, 108, 124])
def test_the_alpha_of_a_bmp_counts_unless_it_is_empty(header):
    found, notes = shown(bmp(np.dstack([COLOURS, SEE_THROUGH]), header), "BMP")
    assert_same(found[..., 3], SEE_THROUGH)
    assert not notes
    found, notes = shown(bmp(np.dstack([COLOURS, 0 * SEE_THROUGH]), header), "BMP")
    assert_same(found, COLOURS)
    assert notes == [NoteCode.REPAIRED]


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "AVIF"])
def test_further_frames_are_noted(kind):
    picture = Image.fromarray(COLOURS)
    options = {"quality": 95} if kind == "AVIF" else {"lossless": True}
    several = encoded(picture, kind, save_all=True, append_images=[picture.rotate(180)], **options)
    name = "WebP" if kind == "WEBP" else kind
    found, notes = shown(several, name)
    assert notes == [NoteCode.IGNORED]
    one, notes = shown(encoded(picture, kind, **options), name)
    assert not notes
    assert np.abs(found[..., :3] - one[..., :3]).mean() < 1


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "AVIF"])
def test_bytes_behind_the_end_are_harmless(kind):
    data = encoded(COLOURS, kind)
    name = "WebP" if kind == "WEBP" else kind
    whole, _ = shown(data, name)
    for behind in (b"junk", bytes(100), data):
        found, notes = shown(data + behind, name)
        np.testing.assert_array_equal(found, whole)
        assert not notes


def test_missing_ends_are_harmless_and_missing_pixels_are_not():
    for kind, missing in (("PNG", 12), ("PNG", 16), ("GIF", 1), ("JPEG", 2)):
        data = encoded(COLOURS, kind)
        np.testing.assert_array_equal(shown(data[:-missing], kind)[0], shown(data, kind)[0])
        with pytest.raises(UndecodableError, match="damaged or truncated"):
            shown(data[:-200], kind)


def test_a_damaged_pixel_chunk_of_a_png_is_never_shown():
    data = bytearray(encoded(COLOURS))
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(UndecodableError):
        shown(bytes(data))
    with pytest.raises(UndecodableError):
        read_grey_picture(bytes(data), "PNG", LIMITS)


def test_12_bit_jpegs_are_read_with_their_white():
    deep = (COLOURS.astype(np.uint32) * 4095 // 255).astype(np.uint16)
    data = imagecodecs.jpeg8_encode(deep, level=98, bitspersample=12)
    found, _ = shown(data, "JPEG")
    assert np.abs(found - COLOURS).mean() < 5
    assert read_grey_picture(data, "JPEG", LIMITS).max() > 3000


def test_a_grey_jpeg_without_its_end_is_completed():
    data = encoded(GREY, "JPEG")
    with collect_notes() as notes:
        found = read_grey_picture(data[:-2], "JPEG", LIMITS)
    np.testing.assert_array_equal(found, read_grey_picture(data, "JPEG", LIMITS))
    assert [note.code for note in notes] == [NoteCode.REPAIRED]
    with pytest.raises(UndecodableError):
        read_grey_picture(data[:-100], "JPEG", LIMITS)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_grey_of_16_bits_is_turned_upright(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    for mode in ("RGB", "I;16"):
        array = COLOURS if mode == "RGB" else GREY.astype(np.uint16) * 257
        plain = read_grey_picture(encoded(array), "PNG", LIMITS)
        found = read_grey_picture(encoded(array, exif=exif), "PNG", LIMITS)
        turned = Image.fromarray(plain.astype(np.float32))
        turns = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
        if orientation in turns:
            turned = turned.transpose(Image.Transpose(turns[orientation]))
        np.testing.assert_array_equal(found, np.asarray(turned))


def test_pictures_of_wide_modes_become_plain():
    wide = Image.fromarray(GREY.astype(np.int32) * 1000)
    assert_same(np.asarray(to_plain_mode(wide)).astype(int), GREY)
    assert to_plain_mode(Image.new("CMYK", (2, 2)), b"profile").mode == "CMYK"
    assert to_plain_mode(Image.new("CMYK", (2, 2))).mode == "RGB"
