"""Constants fitted to data before training."""

from __future__ import annotations

from pathlib import Path

import torch

from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.training.constants import fit_constants
from omnivec2.training.data import load_task
from omnivec2.training.sampling import PairSampler
from omnivec2.training.specs import network_config
from tests.support.tiny_data import TINY


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
