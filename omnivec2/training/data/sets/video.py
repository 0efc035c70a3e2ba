"""Video: fights in surveillance pictures."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from omnivec2.preprocess import Array, Sample
from omnivec2.spec import DataSource, Modality, TaskFamily
from omnivec2.training.data import augmentation
from omnivec2.training.data.base import (
    DataDirectories,
    Loader,
    Split,
    TaskData,
    build,
    preprocess_spec,
)
from omnivec2.training.data.sample_store import stored

_FRAMES = 16
_PARTS = {"train": range(1, 106), "val": range(106, 121), "test": range(121, 151)}
"""File numbers. Neighbouring numbers are often cut from one recording, and there is no
official split, so parts are blocks of numbers: about 70, 10 and 20 % of either class."""

_NEIGHBOURS = 10
"""Neighbouring file numbers that are taken to be of one source."""

_FOLDERS = ("noFight", "fight")


def load_fight(at: DataDirectories) -> TaskData:
    """Load clips of two seconds, kept as strips of 16 frames side by side."""
    folder = at.find("video_fight_surv")
    spec = preprocess_spec(Modality.VIDEO, frames=8, height=96, width=128, resize="stretch")
    preprocessor = build(spec)

    def split(part: str) -> Split:
        found = [
            (path, label)
            for label, name in enumerate(_FOLDERS)
            for path in sorted((folder / name).glob("*.jpg"))
            if int(path.stem[-3:]) in _PARTS[part]
        ]
        paths = [path for path, _ in found]

        def make() -> Iterator[Sample]:
            for path in paths:
                yield preprocessor.prepare(_frames(path)).samples[0]

        samples = stored(at, f"video-fight-{part}", spec, paths, make)
        return Split(
            samples,
            np.array([label for _, label in found], dtype=np.int64),
            groups=np.array([_source(path) for path in paths]),
        )

    return TaskData(
        route="video/action",
        family=TaskFamily.CLASSIFICATION,
        preprocess=spec,
        splits={part: split(part) for part in _PARTS},
        metric="accuracy",
        test_name="Surveillance fights, files 121-150",
        sources=(
            DataSource(
                name="Fight detection surveillance data set",
                licence="MIT (clips collected from YouTube)",
                source="github.com/seymanurakti/fight-detection-surv-dataset",
            ),
        ),
        labels=("no fight", "fight"),
        augment=augmentation.video,
        description="Whether people fight in a short clip of a surveillance camera.",
    )


def _source(path: Path) -> str:
    """Return the source of a clip: neighbouring numbers may be cut from one recording."""
    return f"{path.parent.name}-{int(path.stem[-3:]) // _NEIGHBOURS}"


def _frames(path: Path) -> Array:
    """Return the frames of one strip, uint8 [16, height, width, 3]."""
    with Image.open(io.BytesIO(path.read_bytes())) as picture:
        strip = np.asarray(picture.convert("RGB"))
    height, width, _ = strip.shape
    frames = strip.reshape(height, _FRAMES, width // _FRAMES, 3)
    return np.ascontiguousarray(frames.swapaxes(0, 1))


TASKS: dict[str, Loader] = {"video/action": load_fight}
