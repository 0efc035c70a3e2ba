"""Epochs are translated to steps by the sizes of the tasks' training parts."""

from __future__ import annotations

from omnivec2.training.recipe import Recipe
from omnivec2.training.runs.epochs import epochs_to_steps
from omnivec2.training.training_run import STAGES
from tests.support.training import tiny_tasks

TASKS = {t.route: t for t in (tiny_tasks.classification(), tiny_tasks.forecasting())}
SIZES = {route: len(task.splits["train"]) for route, task in TASKS.items()}
SAMPLERS = {kind: stage.build_sampler for kind, stage in STAGES.items()}


def _recipe(**changes: object) -> Recipe:
    tasks = {route: {"weight": 1, "batch_size": 4} for route in TASKS}
    return Recipe.model_validate({"preset": "tiny", "tasks": tasks} | changes)


def test_an_epoch_has_as_many_samples_as_all_training_parts():
    recipe, (found,) = epochs_to_steps(_recipe(epochs=3), TASKS, SAMPLERS)
    # A step has a batch of each of the two modalities.
    assert recipe.steps == found.steps == -(-3 * sum(SIZES.values()) // 8)
    assert found.passes == {route: found.steps * 4 / size for route, size in SIZES.items()}
    assert str(found).startswith(f"stage 1: 3 epochs are {found.steps} steps (passes through")
    assert (recipe.epochs, recipe.total_steps) == (3, found.steps)


def test_a_single_modality_has_two_batches_of_its_own_per_step():
    route = next(iter(TASKS))
    tasks = {route: {"weight": 1, "batch_size": 4}}
    recipe, (found,) = epochs_to_steps(
        _recipe(epochs=1, tasks=tasks), {route: TASKS[route]}, SAMPLERS
    )
    assert recipe.steps == -(-SIZES[route] // 8)
    assert found.passes == {route: recipe.steps * 8 / SIZES[route]}


def test_each_stage_has_epochs_or_steps_of_its_own_and_counts_its_own_tasks():
    only = next(iter(TASKS))
    stages = [
        {"kind": "masked", "epochs": 2, "only": [only]},
        {"kind": "supervised", "steps": 7},
    ]
    recipe, (found,) = epochs_to_steps(_recipe(stages=stages), TASKS, SAMPLERS)
    assert found.stage == 0
    assert [stage.steps for stage in recipe.stage_recipes()] == [-(-2 * SIZES[only] // 4), 7]
    assert recipe.total_steps == found.steps + 7


def test_a_recipe_with_steps_stays_as_it_is():
    assert epochs_to_steps(_recipe(steps=5), TASKS, SAMPLERS) == (_recipe(steps=5), [])
