"""Cubes as spectral cameras and GIS programs write them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from functools import cache

import numpy as np
import scipy.io
import tifffile

from tests.cases.case import AnyOf, Case, Factory, Noted, OtherThan, Refused, SameAs, Sent

ROUTE = "hyperspectral?tasks=landcover,embedding"
BANDS = 204
GDAL_NODATA = 42113


@cache
def field() -> np.ndarray:
    """Raw values of two crops with a path between them, (5, 6, 204)."""
    band = np.linspace(0, 1, BANDS)
    leaf = 900 + 3200 * np.exp(-((band - 0.28) ** 2) / 0.02) + 700 * (1 - band)
    soil = 1200 + 1700 * np.sqrt(band) * (1 - 0.5 * band)
    share = np.clip((np.arange(6) - 2) / 2, 0, 1)[None, :, None]
    light = 1 + 0.1 * np.sin(np.arange(5))[:, None, None]
    return np.rint(light * (share * leaf + (1 - share) * soil)).astype(np.int16)


def npy(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def plain() -> bytes:
    return npy(field())


def header(cube: np.ndarray, *lines: str, order: str = "byte order = 0") -> str:
    shape = [f"lines = {cube.shape[0]}", f"samples = {cube.shape[1]}", f"bands = {cube.shape[2]}"]
    kind = {"int16": 2, "float32": 4}[cube.dtype.name]
    return "\n".join(["ENVI", *shape, f"data type = {kind}", "interleave = bip", order, *lines, ""])


def envi(
    text: str,
    cube: np.ndarray,
    charset: str = "utf-8",
    beside: Mapping[str, bytes] | None = None,
) -> bytes:
    """Zip a pair of header and data, with other files beside them."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (beside or {}).items():
            archive.writestr(name, content)
        archive.writestr("flight_07.hdr", text.encode(charset))
        archive.writestr("flight_07.img", cube.tobytes())
    return file.getvalue()


def by_line() -> bytes:
    """A pair that is interleaved by line, big endian."""
    text = header(field(), order="byte order = 1").replace("bip", "bil")
    return envi(text, field().transpose(0, 2, 1).astype(">i2"))


def edge(mark: float) -> np.ndarray:
    """Return the field with two columns without data."""
    cube = field().copy() if float(mark).is_integer() else field().astype(np.float32)
    cube[:, :2] = mark
    return cube


def with_nan() -> np.ndarray:
    cube = field().astype(np.float32)
    cube[3, 4, 77] = np.nan
    return cube


def geotiff() -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(
        file, edge(-7777), planarconfig="contig", photometric="minisblack", metadata=None,
        extratags=[(GDAL_NODATA, "s", 0, "-7777", True)],
    )  # fmt: skip
    return file.getvalue()


def matlab() -> bytes:
    file = io.BytesIO()
    scipy.io.savemat(file, {"ground_truth": np.ones((5, 6)), "scene": field()})
    return file.getvalue()


def archive() -> bytes:
    file = io.BytesIO()
    np.savez(file, cube=field())
    return file.getvalue()


def with_bad_bands() -> bytes:
    """Twelve further bands that the header calls bad."""
    cube = np.insert(field(), [30] * 5 + [120] * 7, 0, axis=2)
    is_good = np.insert(np.ones(BANDS, int), [30] * 5 + [120] * 7, 0)
    return envi(header(cube, f"bbl = {{{', '.join(map(str, is_good))}}}"), cube)


def other_sensor() -> bytes:
    waves = ", ".join(f"{wave:.1f}" for wave in np.linspace(420, 980, BANDS))
    text = header(field(), f"wavelength = {{{waves}}}", "wavelength units = Nanometers")
    return envi(text, field())


def same(name: str, made: Factory, wanted: Factory = plain) -> Case:
    return Case(f"hyperspectral: {name}", ROUTE, made, SameAs(wanted))


_NO_ORDER = "description = {none}"

CASES = [
    same("a pair by line, big endian", by_line),
    same("a MATLAB file with two variables", matlab),
    same("an archive of numpy", archive),
    same("a header without a byte order", lambda: envi(header(field(), order=_NO_ORDER), field())),
    same(
        "a header with micrometres in Latin-1",
        lambda: envi(header(field(), "z plot titles = {µm, °}"), field(), "latin-1"),
    ),
    same("a list of bad bands", with_bad_bands),
    same(
        "a quick look beside the pair",
        lambda: envi(header(field()), field(), beside={"preview/flight_07.jpg": b"\xff\xd8\xff"}),
    ),
    same(
        "a ZIP of a Mac",
        lambda: envi(
            header(field()),
            field(),
            beside={"__MACOSX/._flight_07.hdr": b"\0\5\x16\7", ".DS_Store": b"\0\0\0\1Bud1"},
        ),
    ),
    same("a type of depth's", lambda: Sent(plain(), "application/npy")),
    same(
        "pixels that the header ignores",
        lambda: envi(header(field(), "data ignore value = -7777"), edge(-7777)),
        lambda: npy(edge(0)),
    ),
    same("pixels that a GeoTIFF ignores", geotiff, lambda: npy(edge(0))),
    Case(
        "hyperspectral: reflectances",
        ROUTE,
        lambda: npy((field() / 1e4).astype(np.float32)),
        AnyOf([Noted("reflectance|range|scale|unusual"), Refused("reflectance|range|scale")]),
    ),
    Case(
        "hyperspectral: another sensor with as many bands",
        ROUTE,
        other_sensor,
        AnyOf([Noted("wavelength"), Refused("wavelength")]),
    ),
    Case(
        "hyperspectral: a missing value",
        ROUTE,
        lambda: npy(with_nan()),
        AnyOf([Noted("filled"), Refused("NaN|finite")]),
    ),
    Case(
        "hyperspectral: bands in reverse are another field",
        ROUTE,
        lambda: npy(np.ascontiguousarray(field()[..., ::-1])),
        OtherThan(plain),
    ),
]
