"""X-ray: pneumonia in pictures of children's chests (PneumoniaMNIST)."""

from __future__ import annotations

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


def load_pneumonia(at: DataDirectories) -> TaskData:
    """Load PneumoniaMNIST with its official split."""
    file = at.find("xray_pneumoniamnist/pneumoniamnist.npz")
    spec = preprocess_spec(Modality.XRAY, height=96, width=96)
    preprocessor = build(spec)

    def split(part: str) -> Split:
        with np.load(file) as data:
            pictures, labels = data[f"{part}_images"], data[f"{part}_labels"]

        def make() -> Iterator[Sample]:
            for picture in pictures:
                yield preprocessor.prepare(picture).samples[0]

        samples = stored(at.cache, f"xray-pneumonia-{part}", spec, [file], make)
        return Split(samples, labels.reshape(-1).astype(np.int64))

    return TaskData(
        route="xray/pneumonia",
        family=TaskFamily.CLASSIFICATION,
        preprocess=spec,
        splits={part: split(part) for part in ("train", "val", "test")},
        metric="accuracy",
        test_name="PneumoniaMNIST test (public half)",
        sources=(
            DataSource(
                name="PneumoniaMNIST (MedMNIST)",
                licence="CC BY 4.0",
                source="github.com/varun19424/pneumonia_mnist",
            ),
        ),
        labels=("normal", "pneumonia"),
        augment=augmentation.xray,
        description="Whether a child's chest X-ray shows pneumonia. Not a medical device.",
    )


TASKS: dict[str, Loader] = {"xray/pneumonia": load_pneumonia}
