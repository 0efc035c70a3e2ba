"""Depth as cameras, robots and data sets store it."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import tifffile
from PIL import Image

from tests.cases.case import (
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

ROUTE = "depth?tasks=action,embedding"


def room(frames: int = 5) -> np.ndarray:
    """Millimetres of somebody who walks past a wall, 0 in a shadow, (frames, 60, 72)."""
    rows, columns = np.mgrid[:60, :72]
    pictures = []
    for index in range(frames):
        wall = 3300 - columns * 9 + rows * 2
        body = (abs(columns - 18 - 8 * index) < 7) & (rows > 12)
        depth = np.where(body, 1450 + rows * 3, wall)
        depth[rows < 4] = 0
        depth[(columns < 5) & (rows > 40)] = 0
        pictures.append(depth)
    return np.stack(pictures).astype(np.uint16)


def npy(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def plain() -> bytes:
    return npy(room())


def one() -> bytes:
    return png(room(1)[0])


def png(values: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(values)).save(file, "PNG", **options)
    return file.getvalue()


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 3
    return png(room(1)[0, ::-1, ::-1], exif=exif)


def tiff(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    with tifffile.TiffWriter(file, byteorder=">") as writer:
        for page in values:
            writer.write(page, contiguous=False, metadata=None, photometric="minisblack")
    return file.getvalue()


def archive() -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, depth=room())
    return file.getvalue()


def metres(missing: float = np.nan) -> np.ndarray:
    return np.where(room() == 0, missing, room() / 1000).astype(np.float32)


def stated(values: np.ndarray, **parameters: Any) -> Factory:
    """Return what makes JSON with numbers, and what the caller states of them."""
    return inputs({"depth": values.tolist()}, parameters=parameters)


def same(name: str, made: Factory, wanted: Factory = plain) -> Case:
    return Case(f"depth: {name}", ROUTE, made, SameAs(wanted))


CASES = [
    same("metres in floats, NaN where there is none", lambda: npy(metres())),
    same("metres in floats, infinite where there is none", lambda: npy(metres(np.inf))),
    same("metres in TIFF", lambda: tiff(metres(0.0))),
    same("an archive of numpy", archive),
    same("a picture that is stored upside down", turned, one),
    same("base64 with lines of 64 characters", lambda: in_base64(one(), 64), one),
    same("numpy's own type", lambda: Sent(plain(), "application/x-npy")),
    same(
        "centimetres that are stated",
        stated((room() / 10).round(1), depth_unit="cm"),
        stated(room() / 1000, depth_unit="m"),
    ),
    same(
        "a data set that counts 5000 to the metre, stated",
        stated(room() * 5, scale=0.0002),
        stated(room()),
    ),
    Case(
        "depth: a camera that writes 65535 where it saw nothing",
        ROUTE,
        lambda: npy(np.where(room() == 0, 65_535, room()).astype(np.uint16)),
        AnyOf([SameAs(plain), Noted("65.?535|no data"), Refused("65.?535|no data")]),
    ),
    Case(
        "depth: millimetres in floats",
        ROUTE,
        lambda: npy(room().astype(np.float32)),
        AnyOf([SameAs(plain), Noted("unit|millimet"), Refused("unit|millimet")]),
    ),
    Case(
        "depth: counts that are no millimetres",
        "depth/action",
        lambda: npy((room() * 5).astype(np.uint16)),
        AnyOf([Noted("range|far|unit|scale"), Refused("unit|scale|range")]),
    ),
    Case(
        "depth: a room without a single measurement",
        "depth/action",
        lambda: npy(np.zeros((4, 60, 72), np.uint16)),
        AnyOf([Noted("empty"), Refused("no pixel|no data|empty")]),
    ),
    Case("depth: a room half as deep", ROUTE, lambda: npy(room() // 2 + 100), OtherThan(plain)),
]
