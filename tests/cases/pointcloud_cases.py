"""Points as scanners, spreadsheets and point cloud programs write them."""

from __future__ import annotations

import io
import struct
from functools import cache

import numpy as np

from tests.cases.case import (
    TOLERANCE,
    AnyOf,
    Case,
    Factory,
    Noted,
    OtherThan,
    Refused,
    SameAs,
    as_csv,
    inputs,
)

ROUTE = "pointcloud?tasks=classification,embedding"


@cache
def lamp() -> np.ndarray:
    """Points of a desk lamp: foot, stem and shade, (420, 3), with three decimals."""
    rng = np.random.default_rng(21)
    turn = rng.uniform(0, 2 * np.pi, 420)
    part = np.arange(420) % 3
    height = np.where(part == 0, 0.02, np.where(part == 1, rng.uniform(0, 1, 420), 0))
    rise = rng.uniform(0, 0.35, 420)
    height = np.where(part == 2, 1 + rise, height)
    foot = 0.4 * np.sqrt(rng.uniform(0, 1, 420))
    radius = np.where(part == 0, foot, np.where(part == 1, 0.03, 0.5 - 0.8 * rise))
    points = np.stack([radius * np.cos(turn), 0.8 * radius * np.sin(turn), height], axis=1)
    return (points * 2 + [3.0, -1.0, 0.5]).round(3)


def table(columns: list[np.ndarray], header: str | None, separator: str = ",") -> bytes:
    lines = [separator.join(f"{value:.10g}" for value in row) for row in zip(*columns, strict=True)]
    return "\n".join([header, *lines] if header else lines).encode() + b"\n"


def plain() -> bytes:
    return table(list(lamp().T), None, " ")


def npy(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def counted() -> np.ndarray:
    return np.arange(1.0, len(lamp()) + 1)


def with_holes() -> np.ndarray:
    return np.insert(lamp(), [3, 90, 400], np.nan, axis=0)


def ply(points: np.ndarray, names: str = "xyz", before: str = "", body: bytes = b"") -> bytes:
    properties = "".join(f"property float {name}\n" for name in names)
    head = (
        f"ply\nformat binary_little_endian 1.0\n{before}element vertex {len(points)}\n"
        f"{properties}end_header\n"
    )
    return head.encode() + body + points.astype("<f4").tobytes()


def pcd() -> bytes:
    head = (
        "# .PCD v0.7 - exported by a scanner\nVERSION 0.7\nFIELDS intensity x y z\n"
        "SIZE 4 4 4 4\nTYPE F F F F\nCOUNT 1 1 1 1\n"
        f"WIDTH {len(lamp())}\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS {len(lamp())}\n"
        "DATA binary\n"
    )
    values = np.concatenate([counted()[:, None], lamp()], axis=1)
    return head.encode() + values.astype("<f4").tobytes()


def commas(separator: str) -> bytes:
    return table(list(lamp().T), None, separator).replace(b".", b",")


def same(name: str, made: Factory, tolerance: float = TOLERANCE) -> Case:
    return Case(f"pointcloud: {name}", ROUTE, made, SameAs(plain, tolerance))


_CAMERA = "element camera 1\nproperty float view_px\nproperty uchar side\n"

CASES = [
    same(
        "a table with a number first",
        lambda: as_csv(table([counted(), *lamp().T], "point,x,y,z")),
    ),
    same(
        "a table with a time first",
        lambda: as_csv(table([1.6e9 + counted(), *lamp().T], "timestamp,x,y,z")),
    ),
    same(
        "a table with colours first",
        lambda: as_csv(table([counted() % 255] * 3 + list(lamp().T), "red,green,blue,x,y,z")),
    ),
    same("columns in another order", lambda: as_csv(table(list(lamp().T[[1, 2, 0]]), "y,z,x"))),
    same(
        "a data frame with its row numbers",
        lambda: as_csv(table([counted() - 1, *lamp().T], ",x,y,z")),
    ),
    same("names with units", lambda: as_csv(table(list(lamp().T), "X (m);Y (m);Z (m)", ";"))),
    same("names and no type", lambda: table(list(lamp().T), "X,Y,Z")),
    same("decimal commas and semicolons", lambda: as_csv(commas(";"))),
    same("decimal commas and tabs", lambda: commas("\t")),
    same("three rows of an array", lambda: npy(lamp().T.astype(np.float32))),
    same("a batch of one in double", lambda: npy(lamp()[None].astype(">f8"))),
    same("rows of objects", inputs([{"x": x, "y": y, "z": z} for x, y, z in lamp().tolist()])),
    same("a PLY with a camera first", lambda: ply(
        lamp(), before=_CAMERA, body=struct.pack("<fB", 0.5, 1)
    )),
    same("a PLY with capital names", lambda: ply(lamp()[:, ::-1], "ZYX")),
    same("a PLY with points that were not seen", lambda: ply(with_holes())),
    same(
        "a text with points that were not seen",
        lambda: table(list(with_holes().T), None, " "),
    ),
    same("a PCD with a comment first", pcd),
    same("millimetres on a map", lambda: npy(lamp() * 1000 + [4e5, 5e6, 200]), 0.02),
    Case(
        "pointcloud: a file with two columns",
        ROUTE,
        lambda: as_csv(table(list(lamp().T[:2]), "x,y")),
        Refused("x, y|column|z"),
    ),
    Case(
        "pointcloud: every point in one place",
        ROUTE,
        lambda: npy(np.ones((300, 3))),
        AnyOf([Noted("empty"), Refused("same|one place|identical|extent|differ")]),
    ),
    Case("pointcloud: a lamp that lies", ROUTE, lambda: npy(lamp()[:, [2, 0, 1]]),
         OtherThan(plain)),
]  # fmt: skip
