"""Embeddings measured on unseen sets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from omnivec2.errors import ArtifactError
from omnivec2.preprocess import Array, Sample
from omnivec2.spec import HeadSpec, Modality, TaskFamily
from omnivec2.training.data.base import DataDirectories
from omnivec2.training.evaluation.unseen import measure_unseen as measuring
from omnivec2.training.evaluation.unseen.measure_unseen import measure_unseen
from omnivec2.training.evaluation.unseen.unseen_set import UnseenSet, classes
from tests.support.model_repositories import tiny_models


def _patches(_: DataDirectories) -> UnseenSet:
    tones = np.arange(40) * 6
    pictures = [np.full((8, 8, 3), tone, np.uint8) for tone in tones]
    return classes("tones", pictures, tones // 120, np.arange(40) % 2 == 0)


def _missing(_: DataDirectories) -> UnseenSet:
    raise ArtifactError("there is no such folder")


def _tone(samples: Sequence[Sample]) -> Array:
    tones = np.array([sample["pixels"].mean() for sample in samples]) / 255
    return np.stack([np.cos(tones), np.sin(tones)], axis=1)


def _nothing(samples: Sequence[Sample]) -> dict[str, Array]:
    return {"nothing": np.ones((len(samples), 2))}


@pytest.fixture
def spec() -> HeadSpec:
    return tiny_models.head_spec("image/embedding", TaskFamily.EMBEDDING, {"embedding": (2,)})


def test_a_head_is_measured_beside_other_vectors_and_missing_sets_are_reported(
    spec: HeadSpec, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setitem(measuring.UNSEEN, Modality.IMAGE, (_patches, _missing))
    reasons: list[str] = []
    done: list[int] = []
    at = DataDirectories(tmp_path, tmp_path)
    (found,) = measure_unseen(spec, _tone, lambda: [_nothing], at, reasons.append, done.append)
    assert reasons == ["image/embedding: there is no such folder"]
    figure = found.result
    assert (figure.route, figure.dataset, figure.split) == ("image/embedding", "tones", "unseen")
    assert (figure.samples, sum(done)) == (20, 40)
    assert figure.value > 0.9
    assert figure.baselines == {"nothing": pytest.approx(0.5, abs=0.1)}
