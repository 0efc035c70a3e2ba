"""Data sets in which one thing was recorded by several sensors, and has a name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from omnivec2.errors import ArtifactError
from omnivec2.preprocess.imu import Recording
from omnivec2.spec import DataSource, Modality, PreprocessSpec
from omnivec2.training.adaptation.reading.prepared_rows import Prepared
from omnivec2.training.data.base import Location, Split, build, preprocess_spec
from omnivec2.training.data.sets.depth import load_utdmhad

_CHANNELS = [f"{kind}_{axis}" for kind in ("acc", "body_gyro") for axis in "xyz"]
_WINDOW = 96
"""Samples at 50 Hz: the shortest recording has 107."""


@dataclass(frozen=True)
class Stream:
    """One modality's recordings.

    Attributes:
        preprocess: how they are prepared, when they are served too.
        train: to learn from; labels index the names.
        test: of other people.
    """

    preprocess: PreprocessSpec
    train: Prepared
    test: Prepared


@dataclass(frozen=True)
class AlignedData:
    """Recordings of the same things by several modalities.

    Attributes:
        name: for people.
        test_name: of the test part.
        names: what each class is called.
        streams: modality -> recordings.
        sources: with their licences.
    """

    name: str
    test_name: str
    names: tuple[str, ...]
    streams: Mapping[Modality, Stream]
    sources: tuple[DataSource, ...]


def utd_mhad(at: Location) -> AlignedData:
    """UTD-MHAD: 27 actions before a depth camera, with a motion sensor at wrist or thigh.

    Odd subjects to learn from, even ones to test.
    """
    depth = load_utdmhad(at)
    parts = {name: _prepared(split) for name, split in depth.splits.items()}
    return AlignedData(
        name="UTD-MHAD",
        test_name=depth.test_name,
        names=depth.labels,
        streams={
            Modality.DEPTH: Stream(
                depth.preprocess, _together(parts["train"], parts["val"]), parts["test"]
            ),
            Modality.IMU: _inertial(at),
        },
        sources=depth.sources,
    )


def _prepared(split: Split) -> Prepared:
    """A part with one sample for each recording."""
    samples = [split.samples[row] for row in range(len(split))]
    labels = np.asarray(split.targets[:], dtype=np.int64)
    return Prepared(samples, np.arange(len(samples)), labels)


def _together(first: Prepared, second: Prepared) -> Prepared:
    item = np.concatenate([first.item, second.item + len(first.labels)])
    labels = np.concatenate([first.labels, second.labels])
    return Prepared([*first.samples, *second.samples], item, labels)


def _inertial(at: Location) -> Stream:
    spec = preprocess_spec(Modality.IMU, window=_WINDOW, rate_hz=50, channels=_CHANNELS)
    preprocessor = build(spec)
    with np.load(at.find("imu_utdmhad/utdmhad_inertial.npz")) as data:
        signals = np.split(data["signal"].astype(np.float64), np.cumsum(data["length"])[:-1])
        labels, subject = data["action"].astype(np.int64) - 1, data["subject"]

    def part(chosen: np.ndarray) -> Prepared:
        windows = [preprocessor.prepare(Recording(signals[row])).samples for row in chosen]
        item = np.repeat(np.arange(len(chosen)), [len(own) for own in windows])
        return Prepared([one for own in windows for one in own], item, labels[chosen])

    odd = subject % 2 == 1
    return Stream(spec, part(np.flatnonzero(odd)), part(np.flatnonzero(~odd)))


DATA: Mapping[str, Callable[[Location], AlignedData]] = {"utd-mhad": utd_mhad}
"""Data sets by name."""


def load_aligned(name: str, at: Location) -> AlignedData:
    """One of :data:`DATA`.

    Raises:
        ArtifactError: there is none of this name, or its files are not there.
    """
    if name not in DATA:
        raise ArtifactError(f"no data set {name!r} to align; there is {', '.join(DATA)}")
    return DATA[name](at)
