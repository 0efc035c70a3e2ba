"""Data sets in which each thing was recorded by several sensors and has a name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from omnivec2.errors import ArtifactError
from omnivec2.preprocess.imu import Recording
from omnivec2.spec import DataSource, Modality, PreprocessSpec
from omnivec2.training.adaptation.reading.prepared_rows import Prepared
from omnivec2.training.data.base import DataDirectories, Split, build, preprocess_spec
from omnivec2.training.data.sets.depth import load_utdmhad

_CHANNELS = [f"{kind}_{axis}" for kind in ("acc", "body_gyro") for axis in "xyz"]
_WINDOW = 96
"""The samples of a window at 50 Hz: the shortest recording has 107."""


@dataclass(frozen=True)
class Stream:
    """The recordings of one modality.

    Attributes:
        preprocess: The preprocessing of the recordings, also when served.
        train: The training recordings; labels index the names.
        test: The test recordings, of other people.
    """

    preprocess: PreprocessSpec
    train: Prepared
    test: Prepared


@dataclass(frozen=True)
class AlignedData:
    """Recordings of the same things by several modalities.

    Attributes:
        name: The name of the data set.
        test_name: The name of its test split.
        names: The names of the classes.
        streams: The recordings by modality.
        sources: The sources with their licences.
    """

    name: str
    test_name: str
    names: tuple[str, ...]
    streams: Mapping[Modality, Stream]
    sources: tuple[DataSource, ...]


def load_paired_utdmhad(at: DataDirectories) -> AlignedData:
    """Load UTD-MHAD: 27 actions before a depth camera, with a motion sensor at wrist or thigh.

    Odd subjects are for training, even ones for testing.
    """
    depth = load_utdmhad(at)
    splits = {name: _one_sample_each(split) for name, split in depth.splits.items()}
    return AlignedData(
        name="UTD-MHAD",
        test_name=depth.test_name,
        names=depth.labels,
        streams={
            Modality.DEPTH: Stream(
                depth.preprocess, _concatenate(splits["train"], splits["val"]), splits["test"]
            ),
            Modality.IMU: _load_inertial(at),
        },
        sources=depth.sources,
    )


def _one_sample_each(split: Split) -> Prepared:
    """Return a split with one sample for each recording."""
    samples = [split.samples[row] for row in range(len(split))]
    labels = np.asarray(split.targets[:], dtype=np.int64)
    return Prepared(samples, np.arange(len(samples)), labels)


def _concatenate(first: Prepared, second: Prepared) -> Prepared:
    item = np.concatenate([first.item, second.item + len(first.labels)])
    labels = np.concatenate([first.labels, second.labels])
    return Prepared([*first.samples, *second.samples], item, labels)


def _load_inertial(at: DataDirectories) -> Stream:
    spec = preprocess_spec(Modality.IMU, window=_WINDOW, rate_hz=50, channels=_CHANNELS)
    preprocessor = build(spec)
    with np.load(at.find("imu_utdmhad/utdmhad_inertial.npz")) as data:
        signals = np.split(data["signal"].astype(np.float64), np.cumsum(data["length"])[:-1])
        labels, subject = data["action"].astype(np.int64) - 1, data["subject"]

    def prepare(chosen: np.ndarray) -> Prepared:
        windows = [preprocessor.prepare(Recording(signals[row])).samples for row in chosen]
        item = np.repeat(np.arange(len(chosen)), [len(samples) for samples in windows])
        return Prepared([s for samples in windows for s in samples], item, labels[chosen])

    odd = subject % 2 == 1
    return Stream(spec, prepare(np.flatnonzero(odd)), prepare(np.flatnonzero(~odd)))


DATA: Mapping[str, Callable[[DataDirectories], AlignedData]] = {"utd-mhad": load_paired_utdmhad}
"""The loaders of data sets by name."""


def load_aligned(name: str, at: DataDirectories) -> AlignedData:
    """Load one of :data:`DATA`.

    Raises:
        ArtifactError: There is no data set of this name, or its files are missing.
    """
    if name not in DATA:
        raise ArtifactError(f"no data set {name!r} to align; there is {', '.join(DATA)}")
    return DATA[name](at)
