"""The number and the choice of hidden tokens."""

from __future__ import annotations

import pytest
import torch

from omnivec2.spec import Modality
from omnivec2.training.masked.masking import choose_hidden
from omnivec2.training.modalities import modality_training


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("ratio", "count"), [(0.75, 12), (0.9, 14), (0.15, 2), (0.01, 1)])
def test_every_sample_hides_its_share(ratio, count):
    hidden = choose_hidden(torch.ones(5, 16, dtype=torch.bool), ratio, _generator())
    assert hidden.sum(dim=1).tolist() == [count] * 5


def test_something_is_always_left_to_see():
    hidden = choose_hidden(torch.ones(5, 4, dtype=torch.bool), 1.0, _generator())
    assert hidden.sum(dim=1).tolist() == [3] * 5


def test_only_tokens_that_may_be_hidden_are():
    maskable = torch.tensor([[True] * 4 + [False] * 4, [False] * 8])
    hidden = choose_hidden(maskable, 0.5, _generator())
    assert hidden[0].sum() == 2
    assert not (hidden & ~maskable).any()


def test_the_same_seed_hides_the_same_tokens_and_another_seed_others():
    everything = torch.ones(8, 32, dtype=torch.bool)
    first, again = (choose_hidden(everything, 0.5, _generator(3)) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, choose_hidden(everything, 0.5, _generator(4)))


def test_neighbours_of_a_span_are_hidden_together():
    hidden = choose_hidden(torch.ones(6, 16, dtype=torch.bool), 0.5, _generator(), span=4)
    assert (hidden.reshape(6, 4, 4).sum(dim=2) % 4 == 0).all()


def test_ratios_are_those_of_the_design_and_literally_those_of_the_paper():
    usual = {m: modality_training(m).hidden_share() for m in Modality}
    paper = {m: modality_training(m).hidden_share(literal=True) for m in Modality}
    named = [Modality.IMAGE, Modality.VIDEO, Modality.AUDIO]
    assert [usual[m] for m in named] == [0.75, 0.90, 0.80]
    assert (usual[Modality.POINTCLOUD], usual[Modality.TEXT]) == (0.60, 0.15)
    assert {paper[m] for m in named} == {0.95} == {paper[Modality.TEXT]}
    assert paper[Modality.POINTCLOUD] == 0.90
    assert paper[Modality.IMU] == usual[Modality.IMU] == 0.40
