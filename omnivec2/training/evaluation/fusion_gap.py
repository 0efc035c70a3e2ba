"""The gap: what every head would gain if cross-attention were kept at inference.

In training a sample's stream may look at another modality's (m = 1); what is served never does
(m = 0). Stage 3 ends with all gates shut, so that nothing is lost by that, and this is how it is
checked: the same head on the same samples, with a partner drawn as in stage 3 and without one.
It runs in PyTorch, on the state of a run: checkpoints have no cross-attention.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from torch import Tensor

from omnivec2.errors import CheckpointError, UnknownModelError
from omnivec2.network.omnivec2 import OmniVec2, Outputs
from omnivec2.network.summarization import LOG_PROBS, UNIFORM
from omnivec2.preprocess import Array, collate
from omnivec2.spec import TaskFamily
from omnivec2.terminal import make_console
from omnivec2.training.batches import as_tensors
from omnivec2.training.data import load_task
from omnivec2.training.data.base import Split, TaskData
from omnivec2.training.distributed.devices import Machine
from omnivec2.training.evaluation.evaluate_heads import Advance, evenly
from omnivec2.training.evaluation.fusion_gap_table import Gap
from omnivec2.training.evaluation.predictions import Answers, answers
from omnivec2.training.evaluation.quality_metrics import METRICS
from omnivec2.training.recipe import Recipe
from omnivec2.training.sampling import PairSampler
from omnivec2.training.structure.network_structure import network_config
from omnivec2.training.training_state import load_averaged, read_progress

MOST_SAMPLES = 2000
"""Of every head, chosen evenly, unless asked otherwise."""

_BATCH = 32
_COLUMNS = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())


@dataclass(frozen=True)
class SavedRun:
    """A run that reached its supervised stage.

    Attributes:
        network: with its averaged weights and its cross-attention, in evaluation mode.
        tasks: route -> data, of the tasks whose heads were trained.
        sampler: draws partners as in that stage.
    """

    network: OmniVec2
    tasks: Mapping[str, TaskData]
    sampler: PairSampler


def load_run(recipe: Recipe, run: Path, data: Path) -> SavedRun:
    """Read the state of a run.

    Args:
        recipe: that it was started with.
        run: its directory.
        data: the directory of data sets: a network's sizes depend on them.

    Raises:
        CheckpointError: there is no state, it is of another recipe, or no head has been
            trained yet.
        ArtifactError: data is missing.
    """
    stage = read_progress(run / "state", recipe.model_dump(mode="json")).stage
    done = [part for part in recipe.stage_recipes()[: stage + 1] if part.kind == "supervised"]
    if not done:
        raise CheckpointError(f"{run} has not come to a supervised stage: there are no heads yet")
    tasks = {route: load_task(route, data) for route in recipe.tasks}
    config = network_config(recipe.preset, list(tasks.values()), literal=recipe.literal.trunk)
    network = OmniVec2(config)
    load_averaged(run / "state", network)
    trained = {route for part in done for route in part.routes()}
    tasks = {route: task for route, task in tasks.items() if route in trained}
    weights = {route: recipe.tasks[route].weight for route in tasks}
    sizes = {route: done[-1].batch_size(route) for route in tasks}
    sampler = PairSampler(tasks, weights, sizes, recipe.seed, {})
    return SavedRun(network.eval(), tasks, sampler)


def measure_gaps(
    run: SavedRun,
    *,
    only: Sequence[str] | None = None,
    split: str = "test",
    most_samples: int = MOST_SAMPLES,
    device: str = "cpu",
    console: Console | None = None,
) -> list[Gap]:
    """Measure every head with cross-attention and without.

    Args:
        run: from :func:`load_run`.
        only: routes to measure; all unless given.
        split: the part to measure on.
        most_samples: measure on so many of each head, chosen evenly.
        device: where to compute: ``cpu``, ``cuda``, or ``auto``.
        console: where progress is shown.

    Raises:
        UnknownModelError: a route in ``only`` was not trained.
    """
    if unknown := [route for route in only or () if route not in run.tasks]:
        raise UnknownModelError(f"no head {unknown[0]}; there are {', '.join(run.tasks)}")
    run.network.to(Machine(device).device)
    found = []
    with Progress(*_COLUMNS, console=console or make_console(stderr=True)) as progress:
        for route in only or run.tasks:
            rows = evenly(len(run.tasks[route].splits[split]), most_samples)
            bar = progress.add_task(route, total=len(rows))
            found.append(_gap(run, run.tasks[route], split, rows, partial(progress.advance, bar)))
    return found


@dataclass(frozen=True)
class _Figure:
    """What is measured of a task.

    Attributes:
        read: outputs, part and rows -> answers.
        measure: all answers -> the figure.
    """

    name: str
    higher_is_better: bool
    read: Callable[[Mapping[str, Array], Split, Sequence[int]], Answers]
    measure: Callable[[Answers], float]


def _likelihoods(outputs: Mapping[str, Array], split: Split, rows: Sequence[int]) -> Answers:
    """Of a text: how likely its wanted words are (log), and how many they are."""
    del split, rows
    return Answers(list(outputs[LOG_PROBS].sum(axis=1)), list((outputs[UNIFORM] < 0).sum(axis=1)))


_OTHER_FIGURES = {
    TaskFamily.SUMMARIZATION: _Figure(  # texts are not searched for twice
        "nats a word", False, _likelihoods, lambda a: float(-sum(a.predicted) / sum(a.wanted))
    )
}


def _figure(task: TaskData) -> _Figure:
    """The task's metric, unless its family has no answers without a search."""
    better = METRICS[task.metric].higher_is_better
    own = _Figure(
        task.metric, better, partial(answers, task.family), lambda a: a.measure(task.metric)
    )
    return _OTHER_FIGURES.get(task.family, own)


def _gap(run: SavedRun, task: TaskData, split: str, rows: list[int], advance: Advance) -> Gap:
    figure = _figure(task)
    off, on = Answers([], []), Answers([], [])
    for start in range(0, len(rows), _BATCH):
        chosen = rows[start : start + _BATCH]
        for found, outputs in zip((off, on), _both(run, task, split, chosen), strict=True):
            arrays = {name: value.float().cpu().numpy() for name, value in outputs.items()}
            found.extend(figure.read(arrays, task.splits[split], chosen))
        advance(len(chosen))
    return Gap(
        route=task.route,
        metric=figure.name,
        split=split,
        samples=len(rows),
        off=figure.measure(off),
        on=figure.measure(on),
        higher_is_better=figure.higher_is_better,
    )


@torch.inference_mode()
def _both(
    run: SavedRun, task: TaskData, split: str, rows: Sequence[int]
) -> tuple[Outputs, Outputs]:
    """Outputs of the single stream, and beside a partner that the seed and the rows decide."""
    sampler, network = run.sampler, run.network
    generator = np.random.default_rng((sampler.seed, 8, sampler.routes.index(task.route), rows[0]))
    other = run.tasks[sampler.draw_partner(task.route, generator)]
    there = len(other.splits[split])
    count = min(sampler.batch_sizes[other.route], there)
    partners = generator.choice(there, size=count, replace=False).tolist()
    device = next(network.parameters()).device
    own = _inputs(task, split, rows, device)
    gates = torch.ones(len(rows), device=device), torch.ones(count, device=device)
    paired, _ = network.forward_pair(
        (task.route, other.route), (own, _inputs(other, split, partners, device)), gates
    )
    return network(task.route, own), paired


def _inputs(
    task: TaskData, split: str, rows: Sequence[int], device: torch.device
) -> dict[str, Tensor]:
    samples = task.splits[split].samples
    batch = as_tensors(collate([samples[row] for row in rows]))
    return {name: array.to(device) for name, array in batch.items()}
