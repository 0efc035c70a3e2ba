from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import tifffile

from omnivec2.errors import InvalidInputError, UndecodableError
from omnivec2.preprocess.formats.pictures import raster
from omnivec2.preprocess.formats.pictures.tiff_pages.colours import read_colour_tiff
from omnivec2.preprocess.notes import NoteCode, collect_notes
from omnivec2.spec import Limits
from tests.support.sample_files.tiff_bytes import tiff_bytes

Y, X = np.mgrid[:30, :44]
COLOURS = np.stack([5 * X, 8 * Y, 128 + 100 * np.sin(X / 5) * np.cos(Y / 7)], -1).astype(np.uint8)
GREY = np.ascontiguousarray(COLOURS[..., 0])
GREY[0, 0] = 255
DEPTHS = {
    "uint8": lambda values: values,
    "uint16": lambda values: values.astype(np.uint16) * 257,
    "uint32": lambda values: values.astype(np.uint32) * 0x01010101,
    "float32": lambda values: (values / 255).astype(np.float32),
    "float64": lambda values: values / 255,
}


def tiff(values: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, values, **options)
    return file.getvalue()


def pages(*written: tuple[np.ndarray, dict[str, Any]], **options: Any) -> bytes:
    file = io.BytesIO()
    with tifffile.TiffWriter(file, **options) as writer:
        for values, page in written:
            writer.write(values, metadata=None, **page)
    return file.getvalue()


def shown(data: bytes) -> np.ndarray:
    stored = read_colour_tiff(data, Limits())
    upright = raster.upright(stored.pixels, stored.orientation)
    return np.asarray(upright).astype(int)


def noted(data: bytes) -> tuple[np.ndarray, list[NoteCode], str]:
    with collect_notes() as notes:
        found = shown(data)
    return found, [note.code for note in notes], " ".join(note.text for note in notes)


def assert_same(found: np.ndarray, expected: np.ndarray, tolerance: int = 1) -> None:
    assert found.shape == expected.shape
    assert np.abs(found - expected.astype(int)).max() <= tolerance


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "zstd", "packbits"])
def test_white_is_zero_at_every_depth(depth, order, compression):
    values = DEPTHS[depth](GREY)
    top = 1 if values.dtype.kind == "f" else np.iinfo(values.dtype).max
    options = {"byteorder": order, "compression": compression, "rowsperstrip": 7}
    assert_same(shown(tiff(values, photometric="minisblack", **options)), GREY)
    turned = (top - values).astype(values.dtype)
    assert_same(shown(tiff(turned, photometric="miniswhite", **options)), GREY)


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_colours_are_read_at_every_depth_and_in_separate_planes(depth, tile):
    values = DEPTHS[depth](COLOURS)
    assert_same(shown(tiff(values, photometric="rgb", tile=tile)), COLOURS)
    planes = np.ascontiguousarray(np.moveaxis(values, -1, 0))
    apart = tiff(planes, photometric="rgb", planarconfig="separate", tile=tile)
    assert_same(shown(apart), COLOURS)


@pytest.mark.parametrize("bits", [1, 2, 4, 6, 10, 12, 14])
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_packed_bits_are_scaled_to_white(bits, photometric):
    white = (1 << bits) - 1
    values = np.rint(GREY / 255 * white).astype(np.uint8 if bits <= 8 else np.uint16)
    stored = values if photometric == "minisblack" else white - values
    data = tiff(stored.astype(values.dtype), photometric=photometric, bitspersample=bits)
    found, notes, _ = noted(data)
    assert_same(found, values.astype(float) * 255 / white)
    assert not notes


@pytest.mark.parametrize(
    "invert", [lambda v: 4095 - v, lambda v: 65_535 - v], ids=["4095", "65535"]
)
def test_12_bits_in_16_are_found_in_either_polarity(invert):
    values = GREY.astype(np.uint16) * 16
    found, notes, _ = noted(tiff(values, photometric="minisblack"))
    assert_same(found, GREY)
    assert notes == [NoteCode.GUESSED]
    assert_same(shown(tiff(invert(values).astype(np.uint16), photometric="miniswhite")), GREY)


def test_a_stated_white_needs_no_guess():
    tag = [(281, "H", 1, 4095, True)]
    found, notes, _ = noted(tiff(GREY.astype(np.uint16) * 16, extratags=tag))
    assert_same(found, GREY)
    assert not notes


@pytest.mark.parametrize("kind", ["int8", "int16", "int32"])
def test_signed_values_are_stretched_with_a_note(kind):
    values = (GREY.astype(np.int32) - 128).astype(kind)
    found, notes, _ = noted(tiff(values, photometric="minisblack"))
    assert_same(found, GREY)
    assert notes == [NoteCode.GUESSED]


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_palettes_are_looked_up_and_those_of_8_bits_are_noted(compression):
    palette = np.random.default_rng(1).integers(256, 65_535, (3, 256)).astype(np.uint16)
    expected = (palette >> 8).T[GREY]
    data = tiff(GREY, photometric="palette", colormap=palette, compression=compression)
    assert_same(shown(data), expected, 0)
    found, notes, _ = noted(tiff(GREY, photometric="palette", colormap=palette >> 8))
    assert_same(found, expected, 0)
    assert notes == [NoteCode.REPAIRED]


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("count", [3, 4])
def test_bands_without_colour_meaning_are_red_green_blue_with_a_note(depth, planes, count):
    bands = DEPTHS[depth](np.dstack([COLOURS, GREY])[..., :count])
    bands = np.ascontiguousarray(np.moveaxis(bands, -1, 0)) if planes == "separate" else bands
    found, notes, text = noted(tiff(bands, photometric="minisblack", planarconfig=planes))
    assert_same(found, COLOURS)
    assert notes == [NoteCode.GUESSED]
    assert f"the {count} bands" in text


@pytest.mark.parametrize("count", [5, 8, 13])
def test_many_bands_are_refused_with_a_way_to_choose(count):
    bands = np.zeros((count, 20, 20), np.uint16)
    with pytest.raises(InvalidInputError, match=rf"{count} bands.*gdal_translate -b 3"):
        shown(tiff(bands, photometric="minisblack", planarconfig="separate"))


def test_bands_beside_colours_are_not_used_which_is_noted():
    for depth in ("uint8", "uint16"):
        bands = DEPTHS[depth](np.dstack([COLOURS, GREY]))
        found, notes, text = noted(tiff(bands, photometric="rgb", extrasamples=["unspecified"]))
        assert_same(found, COLOURS)
        assert notes == [NoteCode.IGNORED]
        assert "only 3 of the 4 bands" in text


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("kind", ["unassalpha", "assocalpha"])
def test_transparency_is_kept_multiplied_with_the_colours_or_not(depth, kind):
    alpha = np.where(X < 22, 0, 255).astype(np.uint8)
    colours = COLOURS * (alpha[..., None] > 0) if kind == "assocalpha" else COLOURS
    values = DEPTHS[depth](np.dstack([colours.astype(np.uint8), alpha]))
    found = shown(tiff(values, photometric="rgb", extrasamples=[kind]))
    assert_same(found[..., 3], alpha)
    assert_same(found[:, 22:, :3], COLOURS[:, 22:])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("depth", ["uint8", "uint16", "float32"])
def test_every_orientation_is_turned_upright(orientation, depth):
    stored = raster.upright_array(COLOURS, {6: 8, 8: 6}.get(orientation, orientation))
    tag = [(274, "H", 1, orientation, True)]
    assert_same(shown(tiff(DEPTHS[depth](stored), photometric="rgb", extratags=tag)), COLOURS)


@pytest.mark.parametrize("is_big", [False, True])
@pytest.mark.parametrize(
    "before",
    [
        (COLOURS[::4, ::4], {"photometric": "rgb", "subfiletype": 1}),
        (GREY > 9, {"photometric": "minisblack", "subfiletype": 4}),
        (COLOURS[::4, ::4], {"photometric": "rgb", "extratags": [(255, "H", 1, 2, True)]}),
    ],
    ids=["reduced", "mask", "reduced as older programs say it"],
)
def test_thumbnails_and_masks_before_the_picture_are_passed_over(is_big, before):
    picture = COLOURS, {"photometric": "rgb", "compression": "zlib"}
    data = pages(before, picture, bigtiff=is_big)
    found, notes, _ = noted(data)
    assert_same(found, COLOURS, 0)
    assert not notes


def test_several_pages_and_nothing_but_thumbnails_are_notes():
    page = {"photometric": "rgb"}
    found, notes, text = noted(pages((COLOURS, page), (COLOURS[::-1], page)))
    assert_same(found, COLOURS, 0)
    assert notes == [NoteCode.IGNORED]
    assert "several pages" in text
    found, notes, _ = noted(pages((COLOURS, {"photometric": "rgb", "subfiletype": 1})))
    assert_same(found, COLOURS, 0)
    assert notes == [NoteCode.GUESSED]


@pytest.mark.parametrize("compression", ["webp", "jpeg2000", "png", "lerc", "lzma"])
def test_rare_compressions_are_read(compression):
    options = {"lossless": True} if compression == "webp" else None
    data = tiff(COLOURS, photometric="rgb", compression=compression, compressionargs=options)
    assert_same(shown(data), COLOURS)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (lambda: tiff(GREY, photometric="cfa"), "CFA"),
        (lambda: tiff(GREY.astype(np.complex64)), "complex64"),
        (
            lambda: tiff(np.zeros((16, 32, 32), np.uint8), volumetric=True, tile=(16, 16, 16)),
            "volu",
        ),
        (lambda: tiff_bytes(bytes(64 * 64 * 6), bits=16, samples=3, photometric=8), "Lab"),
    ],
)
def test_kinds_that_are_no_pictures_are_refused_by_name(data, reason):
    with pytest.raises(InvalidInputError, match=f"unsupported: .*{reason}"):
        shown(data())


def test_indices_outside_of_a_palette_are_refused():
    data = bytearray(tiff(GREY, photometric="palette", colormap=np.zeros((3, 256), np.uint16)))
    with pytest.raises(UndecodableError):
        shown(bytes(data).replace(b"\x40\x01\x03\x00\x00\x03", b"\x40\x01\x03\x00\x03\x00"))
