from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from omnivec2.spec import HeadSpec
from omnivec2.training.data import calibration_samples as module
from omnivec2.training.data.calibration_samples import calibration_samples
from tests.support.networks.cut_networks import cut_heads, cut_network


def test_samples_are_spread_over_the_training_split_of_every_head_but_embeddings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[tuple[str, Path]] = []
    train = [{"pixels": np.float32(row)} for row in range(31)]

    class Split(list[object]):
        @property
        def samples(self) -> list[object]:
            return list(self)

    def load(route: str, root: Path, *, cache: Path, head: HeadSpec) -> SimpleNamespace:
        assert head.route == route
        asked.append((route, root))
        return SimpleNamespace(splits={"train": Split(train)})

    monkeypatch.setattr(module, "load_task", load)
    heads = cut_heads(cut_network())
    chosen = calibration_samples(heads, tmp_path, per_head=4)
    answering = [head.route for head in heads if not head.is_embedding]
    assert asked == [(route, tmp_path) for route in answering]
    assert list(chosen) == answering
    for samples in chosen.values():
        assert [int(sample["pixels"]) for sample in samples] == [0, 10, 20, 30]
