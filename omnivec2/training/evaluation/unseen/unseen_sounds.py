"""Sounds of the classes of ESC-50 that ESC-10, which the network was trained on, lacks."""

from __future__ import annotations

import csv
import gzip

import numpy as np

from omnivec2.preprocess import preprocessor_for
from omnivec2.spec import Modality
from omnivec2.training.data.base import DataDirectories, preprocess_spec
from omnivec2.training.evaluation.unseen.unseen_set import UnseenSet, grouped_classes


def other_sounds(at: DataDirectories) -> UnseenSet:
    """Return the clips of fold 4; clips of one recording are never compared."""
    folder = at.find("audio_esc50_fold4")
    rows: list[dict[str, str]] = []
    for part in ("train", "test"):
        with gzip.open(folder / f"{part}.csv.gz", "rt", encoding="utf-8", newline="") as file:
            rows += csv.DictReader(file)
    decode = preprocessor_for(preprocess_spec(Modality.AUDIO)).decode
    return grouped_classes(
        "ESC-50 fold 4, the 40 classes that ESC-10 lacks",
        [decode((folder / row["file"]).read_bytes(), "audio/ogg") for row in rows],
        np.array([int(row["target"]) for row in rows]),
        np.array([int(row["src_file"]) for row in rows]),
    )
