"""Epochs of a recipe, translated to steps by the sizes of the tasks' training parts.

A step has samples of one or two tasks, drawn by weight. An epoch of a stage is therefore as many
samples as the training parts of its tasks have together; a task with a larger weight is passed
through more often than once, another less.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from omnivec2.training.data.base import TaskData
from omnivec2.training.recipe import Recipe, StageKind
from omnivec2.training.sampling import Sampler

BuildSampler = Callable[[Recipe, Mapping[str, TaskData], int], Sampler]
_DRAWN_STEPS = 1000
"""The number of steps whose draws are counted to know how many samples a step has."""


@dataclass(frozen=True)
class Epochs:
    """The epochs of one stage in steps.

    Attributes:
        stage: The index of the stage.
        epochs: The number of epochs that the recipe asks for.
        steps: The number of steps that they take.
        passes: The number of passes through each task's training part, by route.
    """

    stage: int
    epochs: float
    steps: int
    passes: dict[str, float]

    def __str__(self) -> str:
        passes = ", ".join(f"{route} {count:.1f}" for route, count in self.passes.items())
        return (
            f"stage {self.stage + 1}: {self.epochs:g} epochs are {self.steps:,} steps "
            f"(passes through the training parts: {passes})"
        )


def epochs_to_steps(
    recipe: Recipe,
    tasks: Mapping[str, TaskData],
    samplers: Mapping[StageKind, BuildSampler],
) -> tuple[Recipe, list[Epochs]]:
    """Set the steps of the stages that give epochs.

    Args:
        recipe: The recipe.
        tasks: The data of every task, by route.
        samplers: A function that builds the sampler of a stage, by the stage's kind.

    Returns:
        The recipe with the steps of every stage, and the translations.
    """
    found = []
    for index, stage in enumerate(recipe.stage_recipes()):
        if stage.epochs is not None:
            taking_part = {route: tasks[route] for route in stage.routes()}
            sampler = samplers[stage.kind](stage, taking_part, recipe.seed)
            found.append(_translate(index, stage.epochs, sampler))
    steps = {each.stage: each.steps for each in found}
    if not recipe.stages:
        return recipe.model_copy(update={"steps": steps.get(0, recipe.steps)}), found
    stages = tuple(
        stage.model_copy(update={"steps": steps.get(index, stage.steps)})
        for index, stage in enumerate(recipe.stages)
    )
    return recipe.model_copy(update={"stages": stages}), found


def _translate(stage: int, epochs: float, sampler: Sampler) -> Epochs:
    draws = Counter(route for step in range(_DRAWN_STEPS) for route in sampler.draw(step))
    samples = {r: n * sampler.batch_sizes[r] / _DRAWN_STEPS for r, n in draws.items()}
    sizes = {route: len(task.splits["train"]) for route, task in sampler.tasks.items()}
    steps = math.ceil(epochs * sum(sizes.values()) / sum(samples.values()))
    passes = {route: steps * samples.get(route, 0) / size for route, size in sizes.items()}
    return Epochs(stage, epochs, steps, passes)
