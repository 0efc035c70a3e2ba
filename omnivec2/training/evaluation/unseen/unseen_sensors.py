"""X-rays, thermal pictures, cubes and series of subjects that the network was not trained on."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from omnivec2.preprocess import Array
from omnivec2.preprocess.timeseries import Series
from omnivec2.training.data.base import DataDirectories
from omnivec2.training.evaluation.unseen.unseen_set import UnseenSet, classes

_MOST = 1000
"""The known inputs and the queries of large sets, chosen at random with a fixed seed."""

_CONTEXT = 336
_BANDS = 204
_JASPER_SPLITS = {"known": 0, "asked": 2}


def chests(at: DataDirectories) -> UnseenSet:
    """Return chest X-rays of adults: nothing found, pneumonia, or COVID-19."""
    folder = at.find("xray_nih_covid")
    described: dict[str, Any] = json.loads((folder / "labels.json").read_text())["images"]
    pictures: list[Array] = []
    names: list[str] = []
    known: list[bool] = []
    with tarfile.open(folder / "cxr128.tar") as tar:
        for member in tar:
            part = member.name.partition("/")[0]
            wanted = member.name in described and part in ("train", "test")
            file = tar.extractfile(member) if wanted else None
            if file is None:
                continue
            with Image.open(io.BytesIO(file.read())) as picture:
                pictures.append(np.asarray(picture.convert("L")))
            names.append(str(described[member.name]["cls"]))
            known.append(part == "train")
    labels = np.unique(names, return_inverse=True)[1]
    return classes("NIH and COVID-19 chests, three classes", pictures, labels, np.array(known))


def modules(at: DataDirectories) -> UnseenSet:
    """Return thermal pictures of solar modules with twelve kinds of defects or none."""
    with np.load(at.find("infrared_solarmodules/solar_modules_40x24.npz")) as data:
        rows = np.random.default_rng(0).permutation(len(data["train_labels"]))[: 2 * _MOST]
        pictures = [*data["train_images"][rows], *data["test_images"]]
        labels = np.concatenate([data["train_labels"][rows], data["test_labels"]])
    known = np.arange(len(labels)) < len(rows)
    return classes("Solar modules, twelve classes", pictures, labels, known)


def jasper(at: DataDirectories) -> UnseenSet:
    """Return pixels of Jasper Ridge by what covers most of each; blocks of pixels apart.

    Its 198 bands are stretched to those of the head, both being AVIRIS without the bands of water;
    a window holds one pixel alone.
    """
    with np.load(at.find("hyperspectral_unmixing3/jasper.npz")) as data:
        spectra, labels, split = data["spectra"], data["label"].astype(np.int64), data["split"]
    generator = np.random.default_rng(0)
    rows = np.concatenate([
        generator.permutation(np.flatnonzero(split == number))[:_MOST]
        for number in _JASPER_SPLITS.values()
    ])  # fmt: skip
    places = np.linspace(0, spectra.shape[1] - 1, _BANDS)
    stretched = [
        np.interp(places, np.arange(spectra.shape[1]), spectra[row].astype(np.float64))[None]
        for row in rows
    ]
    known = split[rows] == _JASPER_SPLITS["known"]
    return classes("Jasper Ridge, four covers", stretched, labels[rows], known)


def series_set(name: str) -> Callable[[DataDirectories], UnseenSet]:
    """Return the loader of a set of the UCR archive; series are stretched to one context.

    Args:
        name: The name of the set in the archive.
    """

    def load(at: DataDirectories) -> UnseenSet:
        with np.load(at.find(f"timeseries_ucr/{name}.npz")) as data:
            parts = [(data[f"x_{part}"], data[f"y_{part}"]) for part in ("train", "test")]
        values = [_context(row) for some, _ in parts for row in some.astype(np.float64)]
        labels = np.unique(np.concatenate([y for _, y in parts]), return_inverse=True)[1]
        known = np.arange(len(labels)) < len(parts[0][1])
        return classes(f"UCR {name}", values, labels, known)

    return load


def _context(values: Array) -> Series:
    values = values[np.isfinite(values)]
    places = np.linspace(0, len(values) - 1, _CONTEXT)
    return Series(np.interp(places, np.arange(len(values)), values)[:, None], ("value",))
