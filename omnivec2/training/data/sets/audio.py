"""Audio: ten kinds of everyday sounds (ESC-10)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from omnivec2.preprocess import Preprocessor, Sample
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

ESC10_LABELS = (
    "baby_cry",
    "chainsaw",
    "clock_tick",
    "dog_bark",
    "fire_crackling",
    "helicopter",
    "person_sneeze",
    "rain",
    "rooster",
    "sea_waves",
)
_VAL_PER_CLASS = 3


def load_esc10(at: DataDirectories) -> TaskData:
    """Load ESC-10: folds 1 to 3 to train on, of which some recordings of fold 3 are ``val``."""
    folder = at.find("audio_esc10")
    spec = preprocess_spec(
        Modality.AUDIO, sample_rate=16000, mel_bins=128, frames=512, max_windows=12
    )
    preprocessor = build(spec)
    parts: dict[str, list[tuple[Path, int]]] = {"train": [], "val": [], "test": []}
    for index, name in enumerate(ESC10_LABELS):
        clips = sorted((folder / name).glob("*.ogg"))
        held = _held_out(clips)
        for clip in clips:
            fold = clip.name[0]
            part = "test" if fold == "4" else "val" if clip in held else "train"
            parts[part].append((clip, index))

    def split(part: str) -> Split:
        clips = [clip for clip, _ in parts[part]]
        make = partial(_prepare, preprocessor, clips)
        samples = stored(at.cache, f"audio-esc10-{part}", spec, clips, make)
        return Split(samples, np.array([index for _, index in parts[part]], dtype=np.int64))

    return TaskData(
        route="audio/events",
        family=TaskFamily.CLASSIFICATION,
        preprocess=spec,
        splits={part: split(part) for part in parts},
        metric="accuracy",
        test_name="ESC-10 fold 4",
        sources=(
            DataSource(
                name="ESC-10",
                licence="CC BY 3.0 (clips CC0 or CC BY)",
                source="github.com/karolpiczak/ESC-10",
            ),
        ),
        labels=tuple(name.replace("_", " ") for name in ESC10_LABELS),
        augment=augmentation.audio,
        description="Which of ten everyday sounds a recording holds.",
    )


def _held_out(clips: list[Path]) -> set[Path]:
    """Return the clips of the last recordings of fold 3; clips of a recording stay together."""
    held: set[Path] = set()
    for clip in reversed([clip for clip in clips if clip.name[0] == "3"]):
        recording = clip.name.rpartition("-")[0]
        if len(held) >= _VAL_PER_CLASS and not any(
            other.name.startswith(f"{recording}-") for other in held
        ):
            break
        held.add(clip)
    return held


def _prepare(preprocessor: Preprocessor[Any, Any], clips: list[Path]) -> Iterator[Sample]:
    """Prepare a clip of five seconds, which is one window."""
    for clip in clips:
        native = preprocessor.decode(clip.read_bytes(), "audio/ogg")
        yield preprocessor.prepare(native).samples[0]


TASKS: dict[str, Loader] = {"audio/events": load_esc10}
