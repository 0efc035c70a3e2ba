"""A cube is the same however it is stored, and what changes its meaning is seen."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable

import numpy as np
import pytest
import scipy.io
import tifffile

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.formats.cubes.wavelengths import SENSORS
from omnivec2.preprocess.hyperspectral import (
    HyperspectralOptions,
    HyperspectralParameters,
    HyperspectralPreprocessor,
)
from omnivec2.preprocess.notes import collect_notes
from omnivec2.preprocess.source_options import state

PREPROCESSOR = HyperspectralPreprocessor(HyperspectralParameters())
BANDS = 204
SEEDS = range(30)
ENVI_TYPES = {"i2": 2, "i4": 3, "f4": 4, "f8": 5, "u2": 12, "u4": 13}

Rng = np.random.Generator


def drawn(seed: int) -> tuple[np.ndarray, Rng]:
    """A cube of raw values whose spectra are smooth, and the source of further choices."""
    rng = np.random.default_rng(seed)
    height, width = (int(size) for size in rng.integers(3, 9, 2))
    spectrum = 1500 + 600 * np.sin(np.linspace(0, rng.uniform(3, 9), BANDS))
    light = rng.uniform(0.6, 1.6, (height, width, 1))
    return np.round(light * spectrum).astype(np.int16), rng


def windows(cube: np.ndarray) -> np.ndarray:
    prepared = PREPROCESSOR.prepare(cube)
    return np.stack([sample["window"] for sample in prepared.samples])


def npy(cube: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, cube)
    return stream.getvalue()


def envi(cube: np.ndarray, rng: Rng, dtype: str, fields: str = "") -> bytes:
    """An ENVI pair in a ZIP, of any interleave, byte order, encoding, order and spelling."""
    name = str(rng.choice(["bsq", "bil", "bip"]))
    axes = {"bsq": (2, 0, 1), "bil": (0, 2, 1), "bip": (0, 1, 2)}[name]
    order, offset = int(rng.integers(2)), int(rng.choice([0, 0, 512]))
    lines = [
        f"samples = {cube.shape[1]}", f"lines={cube.shape[0]}", f"bands   = {cube.shape[2]}",
        f"header offset = {offset}", f"data type = {ENVI_TYPES[dtype]}", f"byte order = {order}",
        f"interleave = {name.upper() if rng.random() < 0.5 else name}", "sensor type = {µ, °}",
    ]  # fmt: skip
    rng.shuffle(lines)
    if rng.random() < 0.3:
        lines = [line.partition("=")[0].upper() + "=" + line.partition("=")[2] for line in lines]
    end = str(rng.choice(["\n", "\r\n"]))
    text = end.join(["ENVI", *lines, fields]) + end
    values = cube.transpose(axes).astype(np.dtype(dtype).newbyteorder("<>"[order]))
    stem = str(rng.choice(["cube", "Scene_01", "folder/with.dots/x"]))
    files = [
        (f"{stem}.hdr", text.encode(str(rng.choice(["latin-1", "utf-8", "utf-8-sig"])))),
        (stem + str(rng.choice(["", ".img", ".dat", ".RAW"])), bytes(offset) + values.tobytes()),
        (f"{stem}.png", b"\x89PNG"),
    ]
    rng.shuffle(files)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in files:
            archive.writestr(member, content)
    return stream.getvalue()


def as_envi(cube: np.ndarray, rng: Rng) -> bytes:
    return envi(cube, rng, str(rng.choice(list(ENVI_TYPES))))


def as_npy(cube: np.ndarray, rng: Rng) -> bytes:
    moved = np.moveaxis(cube, 2, int(rng.integers(3))).astype(
        rng.choice(["<i2", ">i4", "f4", ">f8"])
    )
    return npy(np.asfortranarray(moved) if rng.random() < 0.5 else moved)


def as_npz(cube: np.ndarray, rng: Rng) -> bytes:
    stream = io.BytesIO()
    save = np.savez_compressed if rng.random() < 0.5 else np.savez
    save(stream, labels=np.zeros(cube.shape[:2], np.uint8), scene=cube)
    return stream.getvalue()


def as_matlab(cube: np.ndarray, rng: Rng) -> bytes:
    stream = io.BytesIO()
    moved = np.moveaxis(cube, 2, int(rng.choice([0, 2]))).astype(rng.choice(["f8", "u2", "i4"]))
    scipy.io.savemat(
        stream, {"gt": np.zeros((3, 3)), "cube": moved}, do_compression=bool(rng.integers(2))
    )
    return stream.getvalue()


def as_tiff(cube: np.ndarray, rng: Rng) -> bytes:
    stream = io.BytesIO()
    order, packing = str(rng.choice(["<", ">"])), str(rng.choice(["none", "zlib", "lzw"]))
    options = {"photometric": "minisblack", "compression": packing, "metadata": None}
    with tifffile.TiffWriter(stream, byteorder=order, bigtiff=bool(rng.integers(2))) as file:
        if rng.random() < 0.5:
            file.write(cube, planarconfig="contig", **options)
        else:
            for band in range(BANDS):
                file.write(cube[..., band].copy(), contiguous=False, **options)
    return stream.getvalue()


def as_json(cube: np.ndarray, rng: Rng) -> bytes:
    del rng
    return str(cube.tolist()).encode()


CONTAINERS = [as_envi, as_npy, as_npz, as_matlab, as_tiff, as_json]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("store", CONTAINERS)
def test_a_cube_is_the_same_in_every_container(
    seed: int, store: Callable[[np.ndarray, Rng], bytes]
) -> None:
    cube, rng = drawn(seed)
    with collect_notes() as notes:
        found = PREPROCESSOR.decode(store(cube, rng))
    np.testing.assert_array_equal(windows(found), windows(cube))
    assert not len(notes)


@pytest.mark.parametrize("seed", SEEDS)
def test_pixels_without_data_are_the_same_however_they_are_marked(seed: int) -> None:
    cube, rng = drawn(seed)
    holes = rng.random(cube.shape[:2]) < 0.3
    holes[0, 0], holes[-1, -1] = True, False
    expected = np.where(holes[..., None], 0, cube)
    mark = int(rng.choice([-9999, -32768, -1, 9999, 32767]))
    marked = np.where(holes[..., None], mark, cube).astype(np.int16)
    stream = io.BytesIO()
    tifffile.imwrite(
        stream, marked, planarconfig="contig", photometric="minisblack", metadata=None,
        extratags=[(42113, "s", 0, str(mark), True)],
    )  # fmt: skip
    nan = np.where(holes[..., None], np.nan, cube).astype(np.float32)
    found = [
        PREPROCESSOR.decode(envi(marked, rng, "i2", f"data ignore value = {mark}")),
        PREPROCESSOR.decode(stream.getvalue()),
        PREPROCESSOR.decode(npy(nan)),
        PREPROCESSOR.decode(npy(expected)),
    ]
    with state(HyperspectralOptions(no_data=mark)):
        found.append(PREPROCESSOR.decode(npy(marked)))
    for other in found:
        np.testing.assert_array_equal(other, expected)
        np.testing.assert_array_equal(PREPROCESSOR.prepare(other).context["measured"], ~holes)


@pytest.mark.parametrize("seed", SEEDS)
def test_units_of_wavelengths_bad_bands_and_scales_leave_a_cube_the_same(seed: int) -> None:
    cube, rng = drawn(seed)
    waves = SENSORS["aviris"].wavelengths_nm
    unit, factor = [("nm", 1), ("Micrometers", 1e-3), ("", 1e-3), ("Nanometers", 1)][seed % 4]
    bad = np.ones(BANDS + 20, bool)
    bad[rng.permutation(BANDS + 20)[:BANDS]] = False
    full = np.full((*cube.shape[:2], BANDS + 20), 7, np.int16)
    full[..., ~bad] = cube
    all_waves = np.full(BANDS + 20, 1400.0)
    all_waves[~bad] = waves
    listed = ",\n ".join(f"{wave * factor:.6f}" for wave in all_waves)
    good = ", ".join("0" if is_bad else "1" for is_bad in bad)
    fields = f"wavelength = {{{listed}}}\nwavelength units = {unit}\nbbl = {{{good}}}"
    with collect_notes() as notes:
        found = PREPROCESSOR.decode(envi(full, rng, "i2", fields))
        with state(HyperspectralOptions(scale=2.0)):
            halved = PREPROCESSOR.decode(npy(cube / np.float32(2)))
    np.testing.assert_array_equal(found, cube)
    np.testing.assert_array_equal(halved, cube)
    assert not len(notes)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_changes_the_meaning_is_noted_refused_or_changes_the_arrays(seed: int) -> None:
    cube, rng = drawn(seed)
    factor = float(rng.choice([1e-4, 1e-3, 50.0]))
    with collect_notes() as notes:
        PREPROCESSOR.decode(npy((cube * factor).astype(np.float32)))
    assert [note.code for note in notes] == ["unusual"]
    low = rng.uniform(390, 1000)
    waves = ", ".join(f"{wave:.2f}" for wave in np.linspace(low, low + 600, BANDS))
    with pytest.raises(InvalidInputError, match="wavelengths"):
        PREPROCESSOR.decode(envi(cube, rng, "i2", f"wavelength = {{{waves}}}"))
    spoilt = cube.astype(np.float32)
    spoilt[rng.integers(cube.shape[0]), rng.integers(cube.shape[1]), 17] = np.nan
    with collect_notes() as notes:
        filled = PREPROCESSOR.decode(npy(spoilt))
    np.testing.assert_allclose(filled, cube, rtol=0.02)
    assert [note.code for note in notes] == ["filled"]
    assert not np.array_equal(windows(PREPROCESSOR.decode(npy(cube[::-1]))), windows(cube))
