"""Audio: everyday sounds (ESC-10), spoken digits (FSDD), emotions in speech (RAVDESS)."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from omnivec2.preprocess import Preprocessor, Sample
from omnivec2.preprocess.audio import Audio
from omnivec2.spec import DataSource, Modality, PreprocessSpec, TaskFamily
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
    spec = _spec()
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
        samples = stored(at, f"audio-esc10-{part}", spec, clips, make)
        return Split(
            samples,
            np.array([index for _, index in parts[part]], dtype=np.int64),
            groups=np.array([_recording(clip) for clip in clips]),
        )

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
        recording = _recording(clip)
        if len(held) >= _VAL_PER_CLASS and not any(
            other.name.startswith(f"{recording}-") for other in held
        ):
            break
        held.add(clip)
    return held


def _recording(clip: Path) -> str:
    """Return the fold and the recording that a clip is from."""
    return clip.name.rpartition("-")[0]


def _prepare(preprocessor: Preprocessor[Any, Any], clips: list[Path]) -> Iterator[Sample]:
    """Prepare a clip of five seconds, which is one window."""
    for clip in clips:
        native = preprocessor.decode(clip.read_bytes(), "audio/ogg")
        yield preprocessor.prepare(native).samples[0]


def _spec() -> PreprocessSpec:
    """Return the pre-processing that the audio tokenizer was trained with."""
    return preprocess_spec(
        Modality.AUDIO, sample_rate=16000, mel_bins=128, frames=512, max_windows=12
    )


def load_digits(at: DataDirectories) -> TaskData:
    """Load FSDD: recordings 0 to 4 of a speaker and digit are ``test``, 45 to 49 ``val``."""
    labels = tuple(str(digit) for digit in range(10))
    train = _spoken_rows(at.find("audio_fsdd/train.csv.gz"))
    parts = {
        "train": [row for row in train if int(row["index"]) < _DIGITS_VAL_FROM],
        "val": [row for row in train if int(row["index"]) >= _DIGITS_VAL_FROM],
        "test": _spoken_rows(at.find("audio_fsdd/test.csv.gz")),
    }
    return _speech_task(
        "digit",
        labels,
        _spoken_splits(at, "audio_fsdd", parts, "digit", labels),
        test_name="Free Spoken Digit test (public half)",
        source=DataSource(
            name="Free Spoken Digit Dataset",
            licence="CC BY-SA 4.0",
            source="github.com/Jakobovski/free-spoken-digit-dataset",
        ),
        description="Which digit somebody says in English, in a recording of that word alone.",
    )


_DIGITS_VAL_FROM = 45


def load_emotions(at: DataDirectories) -> TaskData:
    """Load RAVDESS's speech, divided by actor."""
    parts = {
        part: _spoken_rows(at.find(f"audio_ravdess_speech/{part}.csv.gz"))
        for part in ("train", "val", "test")
    }
    return _speech_task(
        "emotion",
        _EMOTIONS,
        _spoken_splits(at, "audio_ravdess_speech", parts, "emotion", _EMOTIONS),
        test_name="RAVDESS speech, actors 21 and 22",
        source=DataSource(
            name="RAVDESS (Livingstone and Russo 2018)",
            licence="CC BY-NC-SA 4.0",
            source="github.com/ZenvilleErasmus/RAVDESS-emotions-speech-audio-only",
        ),
        description="Which of eight emotions an actor puts into a spoken sentence.",
    )


_PERSONS = ("speaker", "actor")
"""The columns that say who speaks."""

_EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")


def _speech_task(
    task: str,
    labels: tuple[str, ...],
    splits: dict[str, Split],
    *,
    test_name: str,
    source: DataSource,
    description: str,
) -> TaskData:
    """Return a task that tells what somebody says, or how."""
    return TaskData(
        route=f"audio/{task}",
        family=TaskFamily.CLASSIFICATION,
        preprocess=_spec(),
        splits=splits,
        metric="accuracy",
        test_name=test_name,
        sources=(source,),
        labels=labels,
        augment=augmentation.audio,
        description=description,
    )


def _spoken_rows(index: Path) -> list[dict[str, str]]:
    """Read an index of clips: file, first sample and length in it, and what is said."""
    with gzip.open(index, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _spoken_splits(
    at: DataDirectories,
    folder: str,
    parts: dict[str, list[dict[str, str]]],
    column: str,
    labels: tuple[str, ...],
) -> dict[str, Split]:
    """Return the parts of clips that lie one after another in files."""
    root, spec = at.find(folder), _spec()
    preprocessor = build(spec)

    def split(part: str, rows: list[dict[str, str]]) -> Split:
        files = sorted({root / row["file"] for row in rows})
        make = partial(_prepare_spoken, preprocessor, root, rows)
        name = f"{folder.replace('_', '-')}-{part}-{len(rows)}"
        samples = stored(at, name, spec, files, make)
        person = next((name for name in _PERSONS if all(name in row for row in rows)), None)
        return Split(
            samples,
            np.array([labels.index(row[column]) for row in rows], np.int64),
            groups=None if person is None else np.array([row[person] for row in rows]),
        )

    return {part: split(part, rows) for part, rows in parts.items()}


def _prepare_spoken(
    preprocessor: Preprocessor[Any, Any], root: Path, rows: list[dict[str, str]]
) -> Iterator[Sample]:
    """Prepare clips in their order; those of a file follow each other, so it is decoded once."""
    file, recording = "", Audio(np.empty(0, np.float32), 1)
    for row in rows:
        if row["file"] != file:
            file = row["file"]
            recording = preprocessor.decode((root / file).read_bytes(), "audio/ogg")
        start = int(row["start"])
        clip = recording.waveform[start : start + int(row["length"])]
        yield preprocessor.prepare(Audio(clip, recording.rate_hz)).samples[0]


TASKS: dict[str, Loader] = {
    "audio/events": load_esc10,
    "audio/digit": load_digits,
    "audio/emotion": load_emotions,
}
