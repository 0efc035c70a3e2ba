"""Depth is the same however it is stored and in whatever unit it is stated to be."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import numpy as np
import pytest
import tifffile
from PIL import Image

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.depth import DepthParameters, DepthPreprocessor
from omnivec2.preprocess.formats.measurements.depth_units import DepthOptions
from omnivec2.preprocess.notes import collect_notes
from omnivec2.preprocess.source_options import state

PREPROCESSOR = DepthPreprocessor(DepthParameters())
SEEDS = range(30)

Rng = np.random.Generator


def drawn(seed: int, *, one: bool = False) -> tuple[np.ndarray, Rng]:
    """Millimetres of a room (frames, height, width), 0 where there is none, and further choices."""
    rng = np.random.default_rng(seed)
    height, width = (int(size) for size in rng.integers(40, 90, 2))
    frames = 1 if one else int(rng.integers(1, 6))
    wall = np.linspace(rng.uniform(900, 1500), rng.uniform(2500, 4000), width)
    depth = np.round(wall + rng.normal(0, 40, (frames, height, width)))
    depth[rng.random(depth.shape) < 0.1] = 0
    return np.clip(depth, 0, 4000).astype(np.uint16), rng


def prepared(data: bytes) -> np.ndarray:
    return PREPROCESSOR.prepare(PREPROCESSOR.decode(data)).samples[0]["depth"].astype(int)


def expected(depth: np.ndarray) -> np.ndarray:
    return PREPROCESSOR.prepare(depth).samples[0]["depth"].astype(int)


def npy(values: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


def tiff(values: np.ndarray, rng: Rng) -> bytes:
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream, byteorder=str(rng.choice(["<", ">"]))) as file:
        for page in values:
            file.write(
                page, contiguous=False, metadata=None, photometric="minisblack",
                compression=str(rng.choice(["none", "zlib", "lzw"])),
            )  # fmt: skip
    return stream.getvalue()


def as_npy_of_integers(depth: np.ndarray, rng: Rng) -> bytes:
    values = depth.astype(rng.choice(["<u2", ">u2", "i4", ">i8", "u4"]))
    return npy(np.asfortranarray(values) if rng.random() < 0.5 else values[..., None])


def as_npy_of_metres(depth: np.ndarray, rng: Rng) -> bytes:
    missing = float(rng.choice([0, -1, np.nan, np.inf]))
    metres = np.where(depth == 0, missing, depth / 1000)
    return npy(metres.astype(rng.choice(["<f4", ">f4", "f8"])))


def as_npz(depth: np.ndarray, rng: Rng) -> bytes:
    stream = io.BytesIO()
    (np.savez_compressed if rng.random() < 0.5 else np.savez)(stream, depth=depth)
    return stream.getvalue()


def as_tiff_of_integers(depth: np.ndarray, rng: Rng) -> bytes:
    return tiff(depth, rng)


def as_tiff_of_metres(depth: np.ndarray, rng: Rng) -> bytes:
    return tiff((depth / 1000).astype(np.float32), rng)


CONTAINERS = [
    as_npy_of_integers, as_npy_of_metres, as_npz, as_tiff_of_integers, as_tiff_of_metres,
]  # fmt: skip


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("store", CONTAINERS)
def test_depth_is_the_same_in_every_container(
    seed: int, store: Callable[[np.ndarray, Rng], bytes]
) -> None:
    depth, rng = drawn(seed)
    with collect_notes() as notes:
        found = prepared(store(depth, rng))
    assert np.abs(found - expected(depth)).max() <= 1
    assert not len(notes)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_picture_is_the_same_however_it_lies_in_its_png(seed: int) -> None:
    (picture,), rng = drawn(seed, one=True)
    orientation = int(rng.integers(1, 9))
    turned = {
        1: picture, 2: picture[:, ::-1], 3: picture[::-1, ::-1], 4: picture[::-1],
        5: picture.T, 6: picture.T[::-1], 7: picture[::-1, ::-1].T, 8: picture.T[:, ::-1],
    }  # fmt: skip
    exif, stream = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(turned[orientation])).save(stream, "PNG", exif=exif)
    assert np.array_equal(prepared(stream.getvalue()), expected(picture))


@pytest.mark.parametrize("seed", SEEDS)
def test_depth_is_the_same_in_every_stated_unit(seed: int) -> None:
    depth, rng = drawn(seed)
    unit, millimetres = [("m", 1000), ("cm", 10), ("mm", 1), ("in", 25.4), ("ft", 304.8)][seed % 5]
    with state(DepthOptions(depth_unit=unit)):
        found = prepared(npy((depth / millimetres).astype(np.float32)))
    assert np.abs(found - expected(depth)).max() <= 1
    per_metre = int(rng.choice([256, 1000, 5000, 10_000]))
    counts = np.round(depth.astype(float) * per_metre / 1000)
    with state(DepthOptions(scale=1 / per_metre)):
        found = prepared(tiff(counts.astype(np.uint16), rng))
    assert np.abs(found - expected(depth)).max() <= 500 / per_metre + 1
    rows = [[[round(value / millimetres, 5) for value in row] for row in f] for f in depth.tolist()]
    native = PREPROCESSOR.decode_json(json.loads(json.dumps({"depth": rows, "unit": unit})))
    assert np.abs(native.astype(int) - depth).max() <= 1


@pytest.mark.parametrize("seed", SEEDS)
def test_units_and_marks_that_are_guessed_are_noted(seed: int) -> None:
    depth, rng = drawn(seed)
    with collect_notes() as notes:
        found = prepared(tiff(depth.astype(np.float32), rng))
    assert np.array_equal(found, expected(depth))
    assert [note.code for note in notes] == ["guessed"]
    marked = np.where(depth == 0, 65_535, depth).astype(np.uint16)
    with collect_notes() as notes:
        found = prepared(npy(marked))
    assert np.array_equal(found, expected(depth))
    assert [note.code for note in notes] == ["guessed"]


@pytest.mark.parametrize("seed", SEEDS)
def test_what_changes_the_meaning_is_noted_refused_or_changes_the_arrays(seed: int) -> None:
    depth, rng = drawn(seed)
    with collect_notes() as notes:
        PREPROCESSOR.decode(npy((depth * 5.0 + 4000 * (depth > 0)).astype(np.uint16)))
    assert [note.code for note in notes] == ["unusual"]
    with pytest.raises(InvalidInputError, match="depth_unit"):
        PREPROCESSOR.decode(npy((depth / 10).astype(np.float32)))  # centimetres
    nearer = np.where(depth > 500, depth - int(rng.integers(100, 400)), depth)
    assert not np.array_equal(prepared(npy(nearer.astype(np.uint16))), expected(depth))
