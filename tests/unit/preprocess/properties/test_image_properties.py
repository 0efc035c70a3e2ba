"""A picture is the same in any container, depth, byte order, orientation and colour space."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from omnivec2.preprocess.formats.pictures.raster import upright_array
from omnivec2.preprocess.image import ImageParameters, ImagePreprocessor
from omnivec2.preprocess.notes import NoteCode, collect_notes
from tests.support.sample_files.heic_files import HeicKind, heic, mirrored, rotated

PREPROCESSOR = ImagePreprocessor(ImageParameters(height=48, width=64))
SEEDS = range(30)
# How a picture is turned for storing, so that a viewer that follows the tag shows it upright.
STORED = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}

Rng = np.random.Generator


def drawn(seed: int) -> tuple[np.ndarray, Rng]:
    """Soft blobs of colour, of even sides, and the source of further choices."""
    rng = np.random.default_rng(seed)
    height, width = (2 * int(side) for side in rng.integers(24, 50, 2))
    rows, columns = np.mgrid[:height, :width]
    planes = []
    for _ in range(3):
        angle, length = rng.uniform(0, 6), rng.uniform(15, 40)
        wave = np.sin((rows * np.cos(angle) + columns * np.sin(angle)) / length + rng.uniform(0, 6))
        planes.append(125 + 120 * wave)
    colours = np.rint(np.stack(planes, axis=-1)).astype(np.uint8)
    colours[0, 0], colours[0, 1] = 0, 255
    return colours, rng


def prepared(data: bytes) -> np.ndarray:
    return PREPROCESSOR.prepare(PREPROCESSOR.decode(data)).samples[0]["pixels"].astype(int)


def expected(colours: np.ndarray) -> np.ndarray:
    return PREPROCESSOR.prepare(colours).samples[0]["pixels"].astype(int)


def saved(colours: np.ndarray, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(colours).save(file, kind, **options)
    return file.getvalue()


def turned(colours: np.ndarray, rng: Rng) -> tuple[np.ndarray, int]:
    """The picture as it is stored under a random orientation, and that."""
    orientation = int(rng.integers(1, 9))
    return upright_array(colours, STORED[orientation]), orientation


def with_exif(kind: str, **options: object) -> Callable[[np.ndarray, Rng], bytes]:
    def save(colours: np.ndarray, rng: Rng) -> bytes:
        stored, orientation = turned(colours, rng)
        exif = Image.Exif()
        exif[0x0112] = orientation
        return saved(stored, kind, exif=exif, **options)

    return save


def as_tiff(colours: np.ndarray, rng: Rng) -> bytes:
    """Any depth, byte order, compression, layout and orientation, behind a thumbnail or not."""
    stored, orientation = turned(colours, rng)
    depths = [
        stored, stored.astype(np.uint16) * 257, stored.astype(np.uint32) * 0x01010101,
        (stored / 255).astype(np.float32), stored / 255,
    ]  # fmt: skip
    values = depths[rng.integers(len(depths))]
    planes = str(rng.choice(["contig", "separate"]))
    if planes == "separate":
        values = np.ascontiguousarray(np.moveaxis(values, -1, 0))
    file, order = io.BytesIO(), str(rng.choice(["<", ">"]))
    with tifffile.TiffWriter(file, byteorder=order, bigtiff=bool(rng.integers(2))) as writer:
        if rng.integers(2):
            writer.write(colours[::4, ::4], photometric="rgb", subfiletype=1, metadata=None)
        writer.write(
            values, photometric="rgb", planarconfig=planes, metadata=None,
            compression=str(rng.choice(["none", "zlib", "lzw", "zstd", "packbits"])),
            tile=(16, 32) if rng.integers(2) else None,
            extratags=[(274, "H", 1, orientation, True)],
        )  # fmt: skip
    return file.getvalue()


def as_deep_png(colours: np.ndarray, rng: Rng) -> bytes:
    """16 bits, opaque or not, with all kinds of chunks beside the pixels."""
    samples = colours.astype(np.uint16) * 257
    if rng.integers(2):
        samples = np.dstack([samples, np.full(samples.shape[:2], 65_535, np.uint16)])
    data = bytes(imagecodecs.png_encode(samples))
    chunks = [
        (b"tEXt", b"Comment\0" + b"x" * 2_000_000), (b"pHYs", b"short"), (b"prVt", b"private"),
        (b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2_000_000))),
    ]  # fmt: skip
    name, body = chunks[rng.integers(len(chunks))]
    checksum = zlib.crc32(name + body) ^ int(rng.integers(2))
    chunk = struct.pack(">I", len(body)) + name + body + struct.pack(">I", checksum)
    return data[:33] + chunk + data[33 : len(data) - int(rng.choice([0, 12]))]


def as_heic(colours: np.ndarray, rng: Rng) -> bytes:
    """Any tiles, range, matrix and turn."""
    quarters = int(rng.integers(4))
    stored, properties = np.rot90(colours, -quarters), [rotated(quarters)]
    if rng.integers(2):
        stored, properties = stored[::-1], [mirrored(0), *properties]
    kind = HeicKind(
        tile=(32, 64) if rng.integers(2) else None,
        properties=properties,
        is_full_range=bool(rng.integers(2)),
        matrix=str(rng.choice(["bt470bg", "bt709"])),
        pixel_format="yuv444p",
    )
    return heic(np.ascontiguousarray(stored), kind)


WAYS = {
    "PNG": (with_exif("PNG"), 0.0),
    "deep PNG": (as_deep_png, 1.0),
    "TIFF": (as_tiff, 1.0),
    "BMP": (lambda colours, rng: saved(colours, "BMP"), 0.0),
    "WebP": (with_exif("WEBP", lossless=True), 0.0),
    "JPEG": (with_exif("JPEG", quality=98, subsampling=0), 3.0),
    "JPEG without end": (
        lambda colours, rng: saved(colours, "JPEG", quality=98, subsampling=0)[:-2],
        3.0,
    ),
    "AVIF": (with_exif("AVIF", quality=98, subsampling="4:4:4", speed=9), 4.0),
    "HEIC": (as_heic, 4.0),
}


@pytest.mark.parametrize("seed", SEEDS)
def test_the_container_makes_no_difference(seed):
    colours, rng = drawn(seed)
    wanted = expected(colours)
    for name, (save, tolerance) in WAYS.items():
        found = prepared(save(colours, rng))
        assert np.abs(found - wanted).mean() <= tolerance, name


@pytest.mark.parametrize("seed", SEEDS)
def test_grey_is_the_same_whatever_zero_and_white_are(seed):
    colours, rng = drawn(seed)
    grey = np.ascontiguousarray(colours[..., 0])
    grey[0, :2] = [0, 255]
    wanted = expected(grey)
    bits = int(rng.choice([8, 10, 12, 16]))
    white = (1 << bits) - 1
    values = np.rint(grey / 255 * white).astype(np.uint8 if bits == 8 else np.uint16)
    file = io.BytesIO()
    is_white_zero = bool(rng.integers(2))
    stored = (white - values).astype(values.dtype) if is_white_zero else values
    photometric = "miniswhite" if is_white_zero else "minisblack"
    tifffile.imwrite(file, stored, photometric=photometric, byteorder=str(rng.choice(["<", ">"])))
    with collect_notes() as notes:
        found = prepared(file.getvalue())
    assert np.abs(found - wanted).mean() <= 1
    # Only what the file does not say is a guess.
    assert [note.code for note in notes] == ([NoteCode.GUESSED] if bits in (10, 12) else [])


@pytest.mark.parametrize("seed", SEEDS)
def test_colours_in_another_space_are_converted(seed):
    colours, _ = drawn(seed)
    lab = ImageCms.createProfile("LAB")
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), lab, "RGB", "LAB")
    picture = Image.fromarray(colours // 2 + 64)
    file = io.BytesIO()
    ImageCms.applyTransform(picture, to_lab).save(file, "TIFF")
    assert np.abs(prepared(file.getvalue()) - expected(np.asarray(picture))).mean() < 3
    palette = picture.quantize(64)
    wanted = expected(np.asarray(palette.convert("RGB")))
    for kind in ("PNG", "GIF", "TIFF", "BMP"):
        file = io.BytesIO()
        palette.save(file, kind)
        assert np.abs(prepared(file.getvalue()) - wanted).max() <= 1


@pytest.mark.parametrize("seed", SEEDS)
def test_what_changes_the_picture_changes_the_pixels(seed):
    colours, rng = drawn(seed)
    wanted = expected(colours)
    changes = [255 - colours, colours[:, ::-1], colours[::-1], colours[..., ::-1], colours // 3]
    for changed in changes:
        file = saved(np.ascontiguousarray(changed), str(rng.choice(["PNG", "TIFF", "BMP"])))
        assert np.abs(prepared(file) - wanted).mean() > 3


@pytest.mark.parametrize("seed", SEEDS)
def test_what_cannot_be_shown_as_it_is_meant_is_noted(seed):
    colours, rng = drawn(seed)
    bands = np.dstack([colours, colours[..., :1]]).astype(np.uint16) * 16
    even = np.full(colours.shape, int(rng.integers(256)), np.uint8)
    file = io.BytesIO()
    tifffile.imwrite(file, bands, photometric="minisblack", planarconfig="contig")
    for data, words in (
        (file.getvalue(), ("bands", "12 bits")),
        (saved(even, str(rng.choice(["PNG", "JPEG", "TIFF"]))), ("even colour",)),
    ):
        with collect_notes() as notes:
            prepared(data)
        texts = " ".join(note.text for note in notes)
        assert all(word in texts for word in words)
