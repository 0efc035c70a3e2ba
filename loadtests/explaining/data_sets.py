"""Maskable inputs of the reference network's heads: of test sets, or of the page's samples."""

from __future__ import annotations

import csv
import gzip
import io
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from loadtests.explaining import maskable
from loadtests.explaining.maskable import Array, MaskableInput

INCOME_COLUMNS = (
    *("age", "workclass", "fnlwgt", "education", "education-num", "marital-status"),
    *("occupation", "relationship", "race", "sex", "capital-gain", "capital-loss"),
    *("hours-per-week", "native-country", "income"),
)
"""The columns of Adult, whose files have no header."""

_VOXEL_JITTER = 0.4
"""Half-width of the noise that hides the grid of voxels, as the head saw it in training."""

Choose = Callable[[int], Sequence[int]]
"""Returns which of so many inputs are taken."""


def _pictures(data: Path, choose: Choose, part: str) -> Iterator[MaskableInput]:
    with tarfile.open(data / "image_cifar10_jpeg/cifar10_jpeg.tar.xz") as archive:
        folder = "test/" if part == "test" else "train/"
        names = sorted(n for n in archive.getnames() if n.endswith(".jpg") and folder in n)
        for index in choose(len(names)):
            file = archive.extractfile(names[index])
            assert file is not None
            yield maskable.picture(np.asarray(Image.open(io.BytesIO(file.read())).convert("RGB")))


def _xrays(data: Path, choose: Choose, part: str) -> Iterator[MaskableInput]:
    pictures = np.load(data / "xray_pneumoniamnist/pneumoniamnist.npz")[f"{part}_images"]
    return (maskable.picture(pictures[index]) for index in choose(len(pictures)))


def _thermal(data: Path, choose: Choose, part: str) -> Iterator[MaskableInput]:
    pictures = np.load(data / "infrared_hituav/hituav_crops_32x32.npz")[f"X_{part}"]
    return (maskable.picture(pictures[index]) for index in choose(len(pictures)))


def _depth(data: Path, choose: Choose, part: str) -> Iterator[MaskableInput]:
    file = np.load(data / "depth_utdmhad/utdmhad_depth_16x60x80_uint8.npz")
    subjects = (2, 4, 6) if part == "test" else (1, 3)
    chosen = np.flatnonzero(np.isin(file["subject"], subjects))
    sequences = file["depth"]
    for index in choose(len(chosen)):
        yield maskable.depth(sequences[chosen[index]].astype(np.uint16) * 16)


def _sounds(data: Path, choose: Choose, part: str) -> Iterator[MaskableInput]:
    fold = "4" if part == "test" else "3"
    files = sorted((data / "audio_esc10").glob(f"*/{fold}-*.ogg"))
    for index in choose(len(files)):
        samples, rate_hz = soundfile.read(files[index], dtype="float32")
        yield maskable.sound(samples, rate_hz)


def _motion(data: Path, choose: Choose, part: str) -> Iterator[MaskableInput]:
    file = np.load(data / "imu_ucihar/ucihar_raw_64x9_float16.npz")
    channels = [str(name) for name in file["channels"]]
    signals = file["X_test" if part == "test" else "X_train"]
    for index in choose(len(signals)):
        yield maskable.motion(signals[index].astype(np.float64), channels, 50.0)


def _clouds(data: Path, choose: Choose, part: str) -> Iterator[MaskableInput]:
    file = np.load(data / "pointcloud_modelnet10/modelnet10_vox30_packed.npz")
    packed = file["vox_test" if part == "test" else "vox_train"]
    packed = packed[packed.any(axis=1)]
    shape = tuple(int(side) for side in file["shape"])
    for index in choose(len(packed)):
        filled = np.unpackbits(packed[index])[: np.prod(shape)].reshape(shape).astype(bool)
        centres = np.argwhere(filled & ~_inside(filled)).astype(np.float64)
        noise = np.random.default_rng(index).uniform(-_VOXEL_JITTER, _VOXEL_JITTER, centres.shape)
        yield maskable.points(centres + noise)


def _inside(filled: Array) -> Array:
    """Return which voxels have filled neighbours on all six sides."""
    padded = np.pad(filled, 1)
    inside = np.ones_like(filled)
    for axis in range(3):
        for step in (-1, 1):
            inside &= np.roll(padded, step, axis)[1:-1, 1:-1, 1:-1]
    return inside


def _sentences(data: Path, choose: Choose, part: str) -> Iterator[MaskableInput]:
    name = "test" if part == "test" else "dev"
    with gzip.open(data / f"text_sst2/{name}.tsv.gz", "rt") as lines:
        sentences = [line.rsplit("\t", 1)[0] for line in lines]
    return (maskable.text(sentences[index]) for index in choose(len(sentences)))


def _incomes(data: Path, choose: Choose, part: str) -> Iterator[MaskableInput]:
    name = "test" if part == "test" else "train"
    with gzip.open(data / f"tabular_adult/adult-{name}.csv.gz", "rt") as lines:
        rows = [dict(zip(INCOME_COLUMNS, map(str.strip, row), strict=True))
                for row in csv.reader(lines) if len(row) == len(INCOME_COLUMNS)]  # fmt: skip
    for index in choose(len(rows)):
        yield maskable.table_row(_numbers(rows[index]))


def _numbers(row: Mapping[str, str]) -> dict[str, str | float | None]:
    """Return a row without the answer; numbers as numbers, and question marks as missing."""
    return {
        name: None if cell == "?" else float(cell) if cell.replace(".", "").isdigit() else cell
        for name, cell in row.items()
        if name not in ("income", "fnlwgt")
    }


DATA_SETS: Mapping[str, Callable[[Path, Choose, str], Iterator[MaskableInput]]] = {
    "image/classification": _pictures,
    "text/sentiment": _sentences,
    "tabular/income": _incomes,
    "audio/events": _sounds,
    "pointcloud/classification": _clouds,
    "xray/pneumonia": _xrays,
    "infrared/objects": _thermal,
    "imu/activity": _motion,
    "depth/action": _depth,
}
"""Head -> the reader of its data set; ``part`` is ``test`` or ``val``."""


def _sample_pictures(samples: Path) -> Iterator[MaskableInput]:
    for name in ("cat.jpg", "horse.png"):
        yield maskable.picture(np.asarray(Image.open(samples / name).convert("RGB")))


def _sample_xrays(samples: Path) -> Iterator[MaskableInput]:
    yield maskable.picture(np.asarray(Image.open(samples / "chest_pneumonia.png").convert("L")))


def _sample_sentences(samples: Path) -> Iterator[MaskableInput]:
    yield maskable.text((samples / "review.txt").read_text().strip())


def _sample_rows(samples: Path) -> Iterator[MaskableInput]:
    with (samples / "adult.csv").open() as lines:
        for row in csv.DictReader(lines):
            yield maskable.table_row(_numbers({name.strip(): cell.strip()
                                               for name, cell in row.items()}))  # fmt: skip


def _sample_sounds(samples: Path) -> Iterator[MaskableInput]:
    yield maskable.sound(*soundfile.read(samples / "dog_bark.ogg", dtype="float32"))


SAMPLES: Mapping[str, Callable[[Path], Iterator[MaskableInput]]] = {
    "image/classification": _sample_pictures,
    "xray/pneumonia": _sample_xrays,
    "text/sentiment": _sample_sentences,
    "tabular/income": _sample_rows,
    "audio/events": _sample_sounds,
}
"""Head -> the reader of the page's samples, for a trial run without data sets."""
