"""Depth: 27 human actions in front of a depth camera (UTD-MHAD)."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np

from omnivec2.preprocess import Sample
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

_MILLIMETRES_PER_UNIT = 16
_VAL_SUBJECT, _VAL_TRIALS = 7, (3, 4)


def load_utdmhad(at: DataDirectories) -> TaskData:
    """Load UTD-MHAD: odd subjects train, even ones test; two trials of subject 7 are ``val``."""
    folder = at.find("depth_utdmhad")
    file = folder / "utdmhad_depth_16x60x80_uint8.npz"
    spec = preprocess_spec(Modality.DEPTH, frames=16, height=64, width=80, max_mm=4080)
    preprocessor = build(spec)
    with np.load(file) as data:
        subject, trial = data["subject"], data["trial"]
        actions = data["action"].astype(np.int64) - 1

    def make() -> Iterator[Sample]:
        with np.load(file) as data:
            frames = data["depth"]
        for sequence in frames:
            native = sequence.astype(np.uint16) * _MILLIMETRES_PER_UNIT
            yield preprocessor.prepare(native).samples[0]

    everything = Split(stored(at, "depth-utdmhad", spec, [file], make), actions)
    held = (subject == _VAL_SUBJECT) & np.isin(trial, _VAL_TRIALS)
    odd = subject % 2 == 1
    names: dict[str, str] = json.loads((folder / "action_names.json").read_text())
    return TaskData(
        route="depth/action",
        family=TaskFamily.CLASSIFICATION,
        preprocess=spec,
        splits={
            "train": everything.take(np.flatnonzero(odd & ~held)),
            "val": everything.take(np.flatnonzero(held)),
            "test": everything.take(np.flatnonzero(~odd)),
        },
        metric="accuracy",
        test_name="UTD-MHAD subjects 2, 4, 6",
        sources=(
            DataSource(
                name="UTD-MHAD (Chen, Jafari, Kehtarnavaz, ICIP 2015)",
                licence="free for research with citation",
                source="github.com/woo-chia-wei/kinect-sequence-classification",
            ),
        ),
        labels=tuple(names[str(number)] for number in sorted(map(int, names))),
        augment=augmentation.depth,
        description="Which of 27 actions a person does in front of a depth camera.",
    )


TASKS: dict[str, Loader] = {"depth/action": load_utdmhad}
