"""A step that is computed in micro-batches equals the step computed at once."""

from __future__ import annotations

import pytest
import torch

from omnivec2.errors import ArtifactError
from omnivec2.training.distributed.devices import Machine
from omnivec2.training.loop import compute_gradients, start_stage
from omnivec2.training.recipe import Recipe, TaskRecipe
from omnivec2.training.supervised import SupervisedStage
from omnivec2.training.training_run import build_network
from omnivec2.training.training_state import Progress
from tests.support.training import tiny_tasks

TASKS = {t.route: t for t in (tiny_tasks.classification(), tiny_tasks.forecasting())}


def _gradients(accumulation: int) -> dict[str, torch.Tensor]:
    recipe = Recipe(
        preset="tiny",
        steps=50,
        bf16=False,
        warm_start=False,
        accumulation=accumulation,
        tasks={route: TaskRecipe(weight=1, batch_size=8) for route in TASKS},
    )
    torch.manual_seed(0)
    network, _ = build_network(recipe, TASKS)
    run = start_stage(SupervisedStage(network, recipe, TASKS, 0), Progress(), Machine("cpu"))
    losses = compute_gradients(run, next(run.stage.sampler().stream(0, 1, {})))
    found = {n: p.grad for n, p in run.stage.named_parameters() if p.grad is not None}
    return found | {f"loss/{route}": torch.tensor(loss) for route, loss in losses.items()}


@pytest.mark.parametrize("count", [2, 3, 8])
def test_gradients_of_micro_batches_add_up_to_those_of_the_whole_batch(count):
    whole, found = _gradients(1), _gradients(count)
    assert any(name.startswith("network.fusion") for name in whole)
    assert found.keys() == whole.keys()
    for name, value in whole.items():
        assert torch.allclose(found[name], value, rtol=1e-4, atol=1e-6), name


def test_a_batch_with_fewer_samples_than_micro_batches_is_refused():
    with pytest.raises(ArtifactError, match="8 samples cannot be split into 9 micro-batches"):
        _gradients(9)
