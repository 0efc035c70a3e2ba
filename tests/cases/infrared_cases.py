"""Thermal pictures as cameras and GIS programs write them."""

from __future__ import annotations

import io
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from PIL import Image

from tests.cases.case import TOLERANCE, AnyOf, Case, Factory, Noted, OtherThan, Refused, SameAs
from tests.cases.image_cases import saved

ROUTE = "infrared?tasks=objects,embedding"
GDAL_NODATA = 42113


def scene() -> np.ndarray:
    """Centikelvins of a warm engine on a cold road, (80, 96)."""
    rows, columns = np.mgrid[:80, :96]
    ground = 28_400 + rows * 3 + 40 * np.sin(columns / 7)
    body = 700 * np.exp(-((((rows - 42) / 14) ** 2 + ((columns - 50) / 24) ** 2) ** 2))
    engine = 1500 * np.exp(-(((rows - 46) / 6) ** 2 + ((columns - 66) / 7) ** 2))
    return np.rint(ground + body + engine).astype(np.uint16)


def tiff(values: np.ndarray, no_data: str | None = None, **options: Any) -> bytes:
    file = io.BytesIO()
    tags = [(GDAL_NODATA, "s", 0, no_data, True)] if no_data else []
    options = {"photometric": "minisblack", "extratags": tags, **options}
    tifffile.imwrite(file, values, metadata=None, **options)
    return file.getvalue()


def plain() -> bytes:
    return tiff(scene())


def eight() -> np.ndarray:
    values = scene().astype(float)
    return np.rint((values - values.min()) / np.ptp(values) * 255).astype(np.uint8)


def celsius() -> np.ndarray:
    return (scene() / 100 - 273.15).astype(np.float32)


def mosaic(missing: float) -> np.ndarray:
    """Degrees Celsius, with a corner that was not flown over."""
    values = celsius()
    values[:22, :30] = missing
    return values


def as_palette() -> bytes:
    file = io.BytesIO()
    picture = Image.fromarray(255 - eight(), "P")
    picture.putpalette(np.repeat(np.arange(255, -1, -1, dtype=np.uint8), 3).tobytes())
    picture.save(file, "TIFF")
    return file.getvalue()


def with_alpha() -> bytes:
    opaque = np.full(scene().shape, 65_535, np.uint16)
    return bytes(imagecodecs.png_encode(np.dstack([scene(), opaque])))


def same(name: str, made: Factory, wanted: Factory = plain, tolerance: float = TOLERANCE) -> Case:
    return Case(f"infrared: {name}", ROUTE, made, SameAs(wanted, tolerance))


CASES = [
    same("degrees Celsius in floats", lambda: tiff(celsius())),
    same(
        "a mosaic without data is marked as GDAL does",
        lambda: tiff(mosaic(-32_768), "-32768"),
        lambda: tiff(mosaic(np.nan)),
        0.03,
    ),
    same(
        "a mosaic is marked with the lowest float",
        lambda: tiff(mosaic(np.finfo("f4").min), "-3.4028234663852886e+38"),
        lambda: tiff(mosaic(np.nan)),
        0.03,
    ),
    same(
        "counts in a PNG of 16 bits and three channels",
        lambda: bytes(imagecodecs.png_encode(np.dstack([scene()] * 3))),
    ),
    same("counts in a PNG of 16 bits with alpha", with_alpha),
    same("a palette TIFF from white to black", as_palette, lambda: saved(eight())),
    same(
        "a TIFF whose zero is white",
        lambda: tiff(65_535 - scene(), photometric="miniswhite", byteorder=">"),
    ),
    same(
        "a TIFF that is stored upside down",
        lambda: tiff(scene()[::-1], extratags=[(274, "H", 1, 4, True)]),
    ),
    Case(
        "infrared: a camera with its cap on",
        "infrared/objects",
        lambda: tiff(np.full((60, 60), 29_000, np.uint16)),
        AnyOf([Noted("empty"), Refused("even|same|constant|contrast")]),
    ),
    Case(
        "infrared: cold for warm is another picture",
        ROUTE,
        lambda: tiff(65_535 - scene()),
        OtherThan(plain),
    ),
]
