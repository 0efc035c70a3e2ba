"""Stage 3: schedules, parameter groups and the averaged weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from omnivec2.training.optimisation import (
    WeightAverage,
    clip_gradient,
    freeze_stems,
    learning_rate,
    parameter_groups,
)
from omnivec2.training.recipe import Recipe, TaskRecipe
from omnivec2.training.supervised import keep_probability
from tests.support.networks.networks import tiny_network

RECIPE = Recipe(preset="tiny", steps=1000, tasks={"a/b": TaskRecipe(weight=1)})


def test_cross_attention_is_kept_for_half_the_samples_until_the_tail():
    assert keep_probability(RECIPE, 0) == keep_probability(RECIPE, 849) == 0.5


def test_cross_attention_is_off_before_the_end():
    shares = [keep_probability(RECIPE, step) for step in range(850, 1000)]
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] == 0.0
    assert shares.count(0.0) >= 40


def test_the_learning_rate_warms_up_and_falls_to_a_hundredth():
    assert learning_rate(RECIPE, 0) == pytest.approx(0.01)
    assert learning_rate(RECIPE, 99) == pytest.approx(1.0)
    assert learning_rate(RECIPE, 1000) == pytest.approx(0.01)


def test_every_trained_parameter_is_in_one_group():
    network = tiny_network()
    freeze_stems(network, 5)
    groups = parameter_groups(network, RECIPE)
    grouped = [id(p) for group in groups for p in group["params"]]  # type: ignore[attr-defined]
    wanted = [id(p) for p in network.parameters() if p.requires_grad]
    assert sorted(grouped) == sorted(wanted)


def test_frozen_blocks_of_a_stem_get_no_gradient():
    network = tiny_network()
    freeze_stems(network, 5)
    stem = network.tokenizers["image"].stem
    assert not any(p.requires_grad for p in stem.blocks[4].parameters())
    assert all(p.requires_grad for p in stem.blocks[5].parameters())


def test_a_part_with_a_large_gradient_does_not_shorten_that_of_another():
    loud, quiet = nn.Linear(2, 2), nn.Linear(2, 2)
    for part, size in ((loud, 1000.0), (quiet, 0.5)):
        for parameter in part.parameters():
            parameter.grad = torch.full_like(parameter, size)
    before = quiet.weight.grad.clone()
    assert all([clip_gradient(part, 5.0) for part in (loud, quiet)])
    assert torch.equal(quiet.weight.grad, before)
    norm = torch.cat([p.grad.flatten() for p in loud.parameters()]).norm()
    assert norm == pytest.approx(5.0, rel=1e-4)


def test_a_gradient_that_is_not_a_number_is_reported():
    part = nn.Linear(2, 2)
    part.weight.grad = torch.full_like(part.weight, float("nan"))
    assert not clip_gradient(part, 5.0)


def test_averaged_weights_follow_the_weights():
    layer = nn.Linear(2, 2)
    average = WeightAverage(layer, decay=0.5, every=1)
    with torch.no_grad():
        layer.weight.fill_(1.0)
    for step in range(50):
        average.update(layer, step)
    assert torch.allclose(average.state(layer)["weight"], torch.ones(2, 2), atol=1e-3)
