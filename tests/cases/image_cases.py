"""Pictures as scanners, phones, GIS programs and image generators write them."""

from __future__ import annotations

import io
import struct
import zlib
from functools import partial
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from PIL import Image

from tests.cases.case import (
    TOLERANCE,
    AnyOf,
    Case,
    Factory,
    Noted,
    OtherThan,
    Refused,
    SameAs,
    Sent,
    in_base64,
    inputs,
)
from tests.support.sample_files.heic_files import HeicKind, heic, rotated

ROUTE = "image?tasks=classification,embedding"


def colours() -> np.ndarray:
    """A stained cell on a pale ground, (96, 120, 3)."""
    rows, columns = np.mgrid[:96, :120]
    ground = np.stack([225 - rows / 4, 200 - columns / 6, 210 + columns / 8], axis=-1)
    distance = np.hypot(rows - 44, (columns - 66) * 0.8)
    cell = (distance < 30)[..., None] * np.array([-60.0, -110, -30])
    nucleus = (np.hypot(rows - 40, columns - 72) < 14)[..., None] * np.array([-70.0, -40, -50])
    return np.clip(ground + cell + nucleus, 0, 255).astype(np.uint8)


def grey() -> np.ndarray:
    """The same in grey, from black to white, (96, 120)."""
    values = colours().mean(axis=-1)
    return np.rint((values - values.min()) / np.ptp(values) * 255).astype(np.uint8)


def saved(pixels: np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def tiff(pixels: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, metadata=None, **options)
    return file.getvalue()


def png() -> bytes:
    return saved(colours())


def jpeg() -> bytes:
    return saved(colours(), "JPEG", quality=97)


def grey_png() -> bytes:
    return saved(grey())


def sixteen(bits: int = 16) -> np.ndarray:
    return np.rint(grey() / 255.0 * ((1 << bits) - 1)).astype(np.uint16)


def with_chunk(data: bytes, name: bytes, body: bytes, *, wrong: int = 0) -> bytes:
    """Put a chunk behind the header of a PNG, with a wrong checksum if asked."""
    checksum = struct.pack(">I", zlib.crc32(name + body) ^ wrong)
    return data[:33] + struct.pack(">I", len(body)) + name + body + checksum + data[33:]


def transparent_white() -> bytes:
    return with_chunk(bytes(imagecodecs.png_encode(sixteen())), b"tRNS", b"\xff\xff")


def stored_sideways() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 8
    return saved(np.rot90(colours(), -1), "JPEG", quality=97, exif=exif)


def printed() -> bytes:
    file = io.BytesIO()
    Image.fromarray(colours()).convert("CMYK").save(file, "JPEG", quality=96)
    return file.getvalue()


def screenshot() -> bytes:
    """A BMP of 32 bits whose fourth bytes are all zero."""
    pixels = np.dstack([colours()[..., ::-1], np.zeros((96, 120), np.uint8)])
    body = pixels[::-1].tobytes()
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + bytes(52)
    size = 14 + 108
    head = struct.pack("<2sIHHI", b"BM", size + len(body), 0, 0, size)
    details = struct.pack("<IiiHHIIiiII", 108, 120, 96, 1, 32, 3, len(body), 2835, 2835, 0, 0)
    return head + details + masks + body


def thumbnail_first() -> bytes:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(255 - colours()[::4, ::4], photometric="rgb", subfiletype=1, metadata=None)
        writer.write(colours(), photometric="rgb", metadata=None)
    return file.getvalue()


def unnamed_bands() -> bytes:
    bands = np.ascontiguousarray(np.moveaxis(colours(), -1, 0))
    return tiff(bands, photometric="minisblack", planarconfig="separate")


def phone() -> bytes:
    kind = HeicKind(tile=(48, 60), properties=[rotated(2)], pixel_format="yuv444p")
    return heic(np.ascontiguousarray(np.rot90(colours(), 2)), kind)


def same(name: str, made: Factory, plain: Factory = png, tolerance: float = TOLERANCE) -> Case:
    return Case(f"image: {name}", ROUTE, made, SameAs(plain, tolerance))


_TEXT = b"workflow\0\0" + zlib.compress(b'{"node": 1}' * 150_000)

CASES = [
    same("a CMYK JPEG of a printer", printed, tolerance=0.05),
    # The picture is no photograph, and an embedding weighs small differences between such: its
    # vector moves by up to 0.068 when it is stored anew. In grey it is 0.24 away, others are 1.0.
    same("a JPEG that a phone stored sideways", stored_sideways, tolerance=0.08),
    same("a grey PNG of 16 bits", lambda: bytes(imagecodecs.png_encode(sixteen())), grey_png),
    same("a grey PNG of 16 bits with a transparent white", transparent_white, grey_png),
    same(
        "a scan of 16 bits whose zero is white",
        lambda: tiff(65_535 - sixteen(), photometric="miniswhite", rowsperstrip=7),
        grey_png,
    ),
    same(
        "a camera's 14 bits in a PNG of 16",
        lambda: bytes(imagecodecs.png_encode(sixteen(14))),
        grey_png,
        0.03,
    ),
    Case(
        "image: three bands one after the other without a meaning",
        ROUTE,
        unnamed_bands,
        AnyOf([SameAs(png), Noted("band"), Refused("band")]),
    ),
    same("a turned HEIC photograph in tiles", phone, tolerance=0.05),
    Case(
        "image: a HEIC photograph that is declared",
        ROUTE,
        lambda: Sent(phone(), "image/heic"),
        SameAs(png, 0.05),
    ),
    same(
        "an AVIF picture of the web",
        lambda: saved(colours(), "AVIF", quality=95, subsampling="4:4:4", speed=9),
        tolerance=0.08,
    ),
    same("a PNG with an image generator's workflow", lambda: with_chunk(png(), b"zTXt", _TEXT)),
    same(
        "a PNG with an edited comment",
        lambda: with_chunk(png(), b"tEXt", b"Author\0somebody", wrong=1),
    ),
    same("a JPEG that lacks its end", lambda: jpeg()[:-2], jpeg),
    same(
        "a TIFF of floats from 0 to 1",
        lambda: tiff((colours() / 255).astype(np.float32), photometric="rgb"),
    ),
    same(
        "a grey TIFF of 32 bits, big endian",
        lambda: tiff(grey().astype(np.uint32) * 0x01010101, byteorder=">"),
        grey_png,
    ),
    same(
        "a TIFF that is compressed with JPEG 2000",
        lambda: tiff(colours(), photometric="rgb", compression="jpeg2000"),
    ),
    same("a TIFF with a thumbnail first", thumbnail_first),
    same("a screenshot with an empty alpha channel", screenshot),
    same("base64 with lines of 60 characters", lambda: in_base64(png(), 60)),
    Case(
        "image: an address instead of a picture",
        "image/classification",
        inputs("http://pictures.example.com/cell.png"),
        Refused(r"\b(URLs?|address(es)?|links?)\b"),
    ),
    Case(
        "image: an even picture",
        "image/classification",
        partial(saved, np.full((64, 64, 3), 90, np.uint8)),
        AnyOf([Noted("empty"), Refused("even|uniform")]),
    ),
    Case(
        "image: a negative is another picture", ROUTE, lambda: saved(255 - colours()),
        OtherThan(png, 0.05),
    ),
]  # fmt: skip
