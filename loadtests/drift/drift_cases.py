"""Inputs of four heads: those of their test sets, and others that a service might get one day."""

from __future__ import annotations

import base64
import csv
import gzip
import io
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from omnivec2.arrays import Array

_BLUR_PIXELS = 1.5
_SLOW_RATE = 8000
_ADULT_COLUMNS = (
    *("age", "workclass", "fnlwgt", "education", "education-num", "marital-status", "occupation"),
    *("relationship", "race", "sex", "capital-gain", "capital-loss", "hours-per-week"),
    *("native-country", "income"),
)
_UNUSED_COLUMNS = ("fnlwgt", "income")


@dataclass(frozen=True)
class DriftCase:
    """The inputs of a head, as JSON.

    Attributes:
        route: The head.
        usual: The inputs of its test set.
        labels: The class of each of them; empty where feedback is not measured.
        others: The other inputs by what happened to them.
    """

    route: str
    usual: Sequence[Any]
    labels: Sequence[str]
    others: Mapping[str, Sequence[Any]]


def blurred_pictures(data: Path, most: int) -> DriftCase:
    """Return CIFAR-10's test pictures, and the same out of focus."""
    pictures: list[bytes] = []
    labels: list[str] = []
    with tarfile.open(data / "image_cifar10_jpeg" / "cifar10_jpeg.tar.xz", "r:xz") as archive:
        for member in archive:
            if member.name.startswith("test/") and (file := archive.extractfile(member)):
                pictures.append(file.read())
                labels.append(member.name.split("/")[1])
    chosen = _evenly(len(pictures), most)
    return DriftCase(
        "image/classification",
        [_text(pictures[index]) for index in chosen],
        [labels[index] for index in chosen],
        {"blurred": [_text(_blurred(pictures[index])) for index in chosen]},
    )


def slow_audio(data: Path, most: int) -> DriftCase:
    """Return ESC-10's clips of fold 4, and the same as a telephone would carry them: 8,000 Hz."""
    import soundfile
    from scipy.signal import resample_poly

    clips = sorted((data / "audio_esc10").glob("*/4-*.ogg"))[:most]

    def slow(clip: Path) -> bytes:
        samples, rate = soundfile.read(clip)
        file = io.BytesIO()
        slower = resample_poly(samples, _SLOW_RATE, rate)
        soundfile.write(file, slower, _SLOW_RATE, format="WAV")
        return file.getvalue()

    return DriftCase(
        "audio/events",
        [_text(clip.read_bytes()) for clip in clips],
        [],
        {"8 kHz": [_text(slow(clip)) for clip in clips]},
    )


def shuffled_columns(data: Path, most: int) -> DriftCase:
    """Return Adult's test rows; each column shuffled; and columns under the names of others."""
    with gzip.open(data / "tabular_adult" / "adult-test.csv.gz", "rt") as file:
        lines = [[cell.strip() for cell in line] for line in csv.reader(file) if line]
    chosen = [lines[index] for index in _evenly(len(lines), most)]
    rows = [_adult_row(line) for line in chosen]
    rng = np.random.default_rng(0)
    order = {name: rng.permutation(len(rows)) for name in rows[0]}
    numbers = [name for name in rows[0] if isinstance(rows[0][name], float)]
    moved = dict(zip(numbers, [*numbers[1:], numbers[0]], strict=True))
    shuffled = [{name: rows[order[name][i]][name] for name in row} for i, row in enumerate(rows)]
    renamed = [{name: row[moved.get(name, name)] for name in row} for row in rows]
    others = {"each column shuffled": shuffled, "columns of numbers exchanged": renamed}
    return DriftCase("tabular/income", rows, [], others)


def another_camera(data: Path, most: int) -> DriftCase:
    """Return HIT-UAV's crops, and thermal pictures of a car's camera and of solar modules."""
    with np.load(data / "infrared_hituav" / "hituav_crops_32x32.npz") as arrays:
        crops = arrays["X_test"]
    with np.load(data / "infrared_solarmodules" / "solar_modules_40x24.npz") as arrays:
        modules = arrays["test_images"]
    with tarfile.open(data / "infrared_roadscene_pairs" / "pairs160.tar") as archive:
        names = [name for name in archive.getnames() if "/infrared/" in name]
        files = [archive.extractfile(name) for name in names[:most]]
        roads = [_text(file.read()) for file in files if file is not None]
    return DriftCase(
        "infrared/objects",
        [_text(_png(crops[index])) for index in _evenly(len(crops), most)],
        [],
        {
            "a car's camera": roads,
            "solar modules": [_text(_png(modules[i])) for i in _evenly(len(modules), most)],
        },
    )


CASES: Mapping[str, Callable[[Path, int], DriftCase]] = {
    "image/classification": blurred_pictures,
    "audio/events": slow_audio,
    "tabular/income": shuffled_columns,
    "infrared/objects": another_camera,
}
"""Head -> a function that reads its inputs: (directory of data sets, most inputs)."""


def _adult_row(line: Sequence[str]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name, cell in zip(_ADULT_COLUMNS, line, strict=True):
        if name not in _UNUSED_COLUMNS:
            row[name] = None if cell == "?" else float(cell) if cell.isdecimal() else cell
    return row


def _evenly(available: int, most: int) -> list[int]:
    count = min(available, most)
    return [int(index) for index in np.linspace(0, available - 1, count).round()]


def _blurred(picture: bytes) -> bytes:
    with Image.open(io.BytesIO(picture)) as image:
        return _png(np.asarray(image.filter(ImageFilter.GaussianBlur(_BLUR_PIXELS))))


def _png(pixels: Array) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
