"""Constants fitted to data before training."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import torch

from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.spec import Modality
from omnivec2.training.data import load_task
from omnivec2.training.data.base import TaskData
from omnivec2.training.modalities import modality_training
from omnivec2.training.modalities.tabular import PIECES
from omnivec2.training.sampling import PairSampler
from omnivec2.training.structure.fitted_constants import fit_constants
from omnivec2.training.structure.network_structure import network_config
from tests.support.data_sets.tiny_data import TINY


def test_a_visual_projection_starts_on_features_of_equal_weight(tmp_path: Path) -> None:
    TINY["xray/pneumonia"](tmp_path)
    task = load_task("xray/pneumonia", tmp_path, cache=tmp_path / "cache")
    network = OmniVec2(network_config("tiny", [task]))
    tokenizer = network.tokenizers["xray"]
    with torch.no_grad():
        for block in tokenizer.stem.blocks[-1:]:
            block.narrow.weight[0] *= 1000  # one channel that would drown all others
    fit_constants(network, [task])
    projected: list[torch.Tensor] = []
    tokenizer.project.register_forward_hook(lambda _, __, out: projected.append(out))
    sampler = PairSampler({task.route: task}, {task.route: 1}, {task.route: 4}, 0, {})
    with torch.no_grad():
        tokenizer(sampler.batch(task.route, 0, 4).inputs)
    weights = tokenizer.project.weight.std(dim=0)
    assert weights[0] < weights[1:].median() / 50
    assert projected[0].std() < 2


def _edges_of(numbers: list[list[float]]) -> list[list[float]]:
    samples = [
        {
            "numbers": np.array(row, dtype=np.float32),
            "missing": np.isnan(row).astype(np.uint8),
            "categories": np.zeros(0, dtype=np.int32),
        }
        for row in numbers
    ]
    task = SimpleNamespace(
        modality=Modality.TABULAR, splits={"train": SimpleNamespace(samples=samples)}
    )
    training = modality_training(Modality.TABULAR)
    found = training.tokenizer_constants(cast(TaskData, task))
    deviations = found["piecewise.edges"] * found["std"][:, None] + found["mean"][:, None]
    assert deviations.shape == (len(numbers[0]), PIECES + 1)
    return cast(list[list[float]], deviations.tolist())


def test_pieces_of_a_column_separate_its_rare_large_values() -> None:
    (edges,) = _edges_of([[0.0]] * 990 + [[1000.0 * i] for i in range(10)])
    assert edges == sorted(edges)
    assert sum(edge > 100 for edge in edges) >= PIECES // 2


def test_a_column_of_missing_numbers_has_pieces_too() -> None:
    known, absent = _edges_of([[1.0, np.nan], [2.0, np.nan], [4.0, np.nan]])
    assert (min(known), max(known)) == (1.0, 4.0)
    assert np.isfinite(absent).all()
