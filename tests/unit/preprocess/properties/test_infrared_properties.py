"""A thermal picture is the same in any unit, container and polarity that it is stated to have."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
import tifffile
from PIL import Image

from omnivec2.preprocess.infrared import (
    InfraredOptions,
    InfraredParameters,
    InfraredPreprocessor,
)
from omnivec2.preprocess.notes import collect_notes
from omnivec2.preprocess.source_options import state

PREPROCESSOR = InfraredPreprocessor(InfraredParameters())
SEEDS = range(30)

Rng = np.random.Generator


def drawn(seed: int) -> tuple[np.ndarray, Rng]:
    """Centikelvins of a scene with warm spots, and the source of further choices."""
    rng = np.random.default_rng(seed)
    height, width = (int(size) for size in rng.integers(50, 110, 2))
    rows, columns = np.mgrid[:height, :width]
    scene = 29_000 + rng.normal(0, 15, (height, width)) + rows * rng.uniform(1, 5)
    for _ in range(3):
        y, x = rng.uniform(0, height), rng.uniform(0, width)
        distance = (rows - y) ** 2 + (columns - x) ** 2
        scene += rng.uniform(500, 1500) * np.exp(-distance / rng.uniform(20, 200))
    return np.round(scene).astype(np.uint16), rng


def prepared(data: bytes) -> np.ndarray:
    return PREPROCESSOR.prepare(PREPROCESSOR.decode(data)).samples[0]["pixels"].astype(int)


def expected(scene: np.ndarray) -> np.ndarray:
    return PREPROCESSOR.prepare(scene).samples[0]["pixels"].astype(int)


def tiff(values: np.ndarray, rng: Rng, no_data: str | None = None) -> bytes:
    stream = io.BytesIO()
    order, tags = str(rng.choice(["<", ">"])), [(42113, "s", 0, no_data, True)] if no_data else []
    with tifffile.TiffWriter(stream, byteorder=order, bigtiff=bool(rng.integers(2))) as file:
        file.write(
            values, metadata=None, photometric="minisblack", extratags=tags,
            compression=str(rng.choice(["none", "zlib", "lzw"])),
            rowsperstrip=int(rng.integers(5, 50)),
        )  # fmt: skip
    return stream.getvalue()


def as_counts(scene: np.ndarray, rng: Rng) -> bytes:
    return tiff(scene, rng)


def as_celsius(scene: np.ndarray, rng: Rng) -> bytes:
    return tiff((scene / 100 - 273.15).astype(np.float32), rng)


def as_kelvin(scene: np.ndarray, rng: Rng) -> bytes:
    return tiff((scene / 100).astype(rng.choice(["f4", "f8"])), rng)


def as_fahrenheit(scene: np.ndarray, rng: Rng) -> bytes:
    return tiff((scene / 100 * 1.8 - 459.67).astype(np.float32), rng)


def as_low_bits(scene: np.ndarray, rng: Rng) -> bytes:
    return tiff((scene - scene.min()).astype(np.uint16), rng)


def as_png(scene: np.ndarray, rng: Rng) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(scene).save(stream, "PNG", compress_level=int(rng.integers(10)))
    return stream.getvalue()


def as_turned_png(scene: np.ndarray, rng: Rng) -> bytes:
    stored, orientation = [(scene[::-1, ::-1], 3), (scene.T[::-1], 6), (scene.T[:, ::-1], 8)][
        rng.integers(3)
    ]
    exif, stream = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(stream, "PNG", exif=exif)
    return stream.getvalue()


def as_white_is_zero(scene: np.ndarray, rng: Rng) -> bytes:
    stream = io.BytesIO()
    stored = [65_535 - scene, scene.max() - scene, -scene.astype(np.float32)][rng.integers(3)]
    tifffile.imwrite(stream, stored, photometric="miniswhite", compression="zlib", metadata=None)
    return stream.getvalue()


def as_turned_tiff(scene: np.ndarray, rng: Rng) -> bytes:
    stored, orientation = [
        (scene[:, ::-1], 2), (scene[::-1, ::-1], 3), (scene[::-1], 4), (scene.T, 5),
        (scene.T[::-1], 6), (scene[::-1, ::-1].T, 7), (scene.T[:, ::-1], 8),
    ][rng.integers(7)]  # fmt: skip
    stream = io.BytesIO()
    tags = [(274, "H", 1, orientation, True)]
    tifffile.imwrite(stream, np.ascontiguousarray(stored), metadata=None, extratags=tags)
    return stream.getvalue()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    "store",
    [
        as_counts,
        as_celsius,
        as_kelvin,
        as_fahrenheit,
        as_low_bits,
        as_png,
        as_turned_png,
        as_white_is_zero,
        as_turned_tiff,
    ],
)
def test_a_scene_is_the_same_in_every_unit_and_container(
    seed: int, store: Callable[[np.ndarray, Rng], bytes]
) -> None:
    scene, rng = drawn(seed)
    with collect_notes() as notes:
        found = prepared(store(scene, rng))
    assert np.abs(found - expected(scene)).max() <= 1
    assert not len(notes)


@pytest.mark.parametrize("seed", SEEDS)
def test_pixels_without_data_do_not_count_however_they_are_marked(seed: int) -> None:
    scene, rng = drawn(seed)
    outside = np.zeros(scene.shape, bool)
    outside[:, : int(rng.integers(5, 20))] = True
    outside[: int(rng.integers(5, 20))] = True
    reference = expected(np.where(outside, np.nan, scene).astype(np.float32))
    mark, dtype, text = [
        (-9999, "f4", "-9999"), (0, "u2", "0"), (65_535, "u2", "65535"), (-1e20, "f4", "-1e+20"),
        (float(np.finfo(np.float32).min), "f4", "-3.40282e+38"), (-9999, "i4", "-9999"),
    ][seed % 6]  # fmt: skip
    marked = np.where(outside, float(mark), scene).astype(dtype)
    with collect_notes() as notes:
        assert np.abs(prepared(tiff(marked, rng, text)) - reference).max() <= 1
        with state(InfraredOptions(no_data=mark)):
            assert np.abs(prepared(tiff(marked, rng)) - reference).max() <= 1
    assert not len(notes)
    if mark != 65_535:
        with collect_notes() as notes:
            assert np.abs(prepared(tiff(marked, rng)) - reference).max() <= 1
        assert [note.code for note in notes] == ["guessed"]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_palette_shows_the_same_as_the_grey_values_it_stands_for(seed: int) -> None:
    scene, rng = drawn(seed)
    grey = expected(scene).astype(np.uint8)[..., 0]
    order = rng.permutation(256).astype(np.uint8)
    colours = np.zeros((3, 256), np.uint16)
    colours[:, order] = np.arange(256) * 257
    stream = io.BytesIO()
    tifffile.imwrite(stream, order[grey], photometric="palette", colormap=colours)
    assert np.array_equal(prepared(stream.getvalue()), expected(grey))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_stated_polarity_is_turned(seed: int) -> None:
    scene, rng = drawn(seed)
    negative = [65_535 - scene, -scene.astype(np.float32), 300 - scene / 100][seed % 3]
    data = tiff(negative.astype(np.uint16 if seed % 3 == 0 else np.float32), rng)
    with state(InfraredOptions(polarity="black_hot")):
        assert np.abs(prepared(data) - expected(scene)).max() <= 1
    assert np.abs(prepared(data) - expected(scene)).mean() > 20


@pytest.mark.parametrize("seed", SEEDS)
def test_what_changes_the_meaning_is_noted_or_changes_the_arrays(seed: int) -> None:
    scene, rng = drawn(seed)
    even = np.full(scene.shape, int(rng.integers(60_000)), np.uint16) + (scene % 4).astype(
        np.uint16
    )
    with collect_notes() as notes:
        prepared(tiff(even, rng))
    assert [note.code for note in notes] == ["empty"]
    grey = expected(scene).astype(np.uint8)[..., 0]
    rainbow = np.stack([grey, 255 - np.abs(grey.astype(int) - 128), 255 - grey], axis=2)
    stream = io.BytesIO()
    Image.fromarray(rainbow.astype(np.uint8)).save(stream, "PNG")
    with collect_notes() as notes:
        prepared(stream.getvalue())
    assert [note.code for note in notes] == ["guessed"]
    assert np.abs(prepared(tiff(scene[::-1].copy(), rng)) - expected(scene)).mean() > 1
