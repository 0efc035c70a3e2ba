"""The fusion gap: what every head would gain if cross-attention were kept at inference.

In training a sample's stream may attend to another modality's (m = 1); at inference it never does
(m = 0). Stage 3 ends with all gates closed, so that nothing is lost by that. The gap checks it:
the same head on the same samples, with a partner drawn as in stage 3 and without one. It runs in
PyTorch on the state of a run, as checkpoints have no cross-attention.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from torch import Tensor

from omnivec2.errors import CheckpointError, UnknownModelError
from omnivec2.network.omnivec2 import OmniVec2, Outputs
from omnivec2.network.summarization import LOG_PROBS, UNIFORM
from omnivec2.preprocess import Array, collate
from omnivec2.spec import TaskFamily
from omnivec2.terminal import LoggedProgress, make_console
from omnivec2.training.batches import as_tensors
from omnivec2.training.data import load_task
from omnivec2.training.data.base import Split, TaskData
from omnivec2.training.distributed.devices import Machine
from omnivec2.training.evaluation.all_heads.head_tests import Advance, evenly_spaced
from omnivec2.training.evaluation.fusion_gap_table import Gap
from omnivec2.training.evaluation.predictions import Answers, read_answers
from omnivec2.training.evaluation.quality_metrics import METRICS
from omnivec2.training.fine_tuning.low_rank import add_low_rank_updates
from omnivec2.training.recipe import Recipe
from omnivec2.training.sampling import PairSampler
from omnivec2.training.training_run import config_of
from omnivec2.training.training_state import load_averaged, read_progress

MOST_SAMPLES = 2000
"""The default number of samples of every head, chosen evenly."""

_BATCH = 32
_COLUMNS = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())


@dataclass(frozen=True)
class SavedRun:
    """A run that reached its supervised stage.

    Attributes:
        network: The network with averaged weights and cross-attention, in evaluation mode.
        tasks: The data of the tasks whose heads were trained, by route.
        sampler: The sampler that draws partners as in that stage.
    """

    network: OmniVec2
    tasks: Mapping[str, TaskData]
    sampler: PairSampler


def load_run(recipe: Recipe, run: Path, data: Path) -> SavedRun:
    """Read the state of a run.

    Args:
        recipe: The recipe that the run was started with.
        run: The run's directory.
        data: The directory of data sets, on which a network's sizes depend.

    Raises:
        CheckpointError: There is no state, it is of another recipe, or no head has been
            trained yet.
        ArtifactError: Data is missing.
    """
    stage = read_progress(run / "state", recipe.model_dump(mode="json")).stage
    reached = recipe.stage_recipes()[: stage + 1]
    supervised = [recipe for recipe in reached if recipe.kind == "supervised"]
    if not supervised:
        raise CheckpointError(f"{run} has not reached a supervised stage: there are no heads yet")
    tasks = {
        route: load_task(route, data, block=task.block) for route, task in recipe.tasks.items()
    }
    network = OmniVec2(config_of(recipe, tasks))
    if recipe.lora is not None:
        add_low_rank_updates(network, recipe.lora)
    load_averaged(run / "state", network)
    trained = {route for recipe in supervised for route in recipe.routes()}
    tasks = {route: task for route, task in tasks.items() if route in trained}
    weights = {route: recipe.tasks[route].weight for route in tasks}
    sizes = {route: supervised[-1].batch_size(route) for route in tasks}
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
        run: The run, from :func:`load_run`.
        only: The routes to measure; all if not given.
        split: The split to measure on.
        most_samples: The maximum number of samples of each head, chosen evenly.
        device: The device: ``cpu``, ``cuda``, or ``auto``.
        console: The console for progress.

    Raises:
        UnknownModelError: A route in ``only`` was not trained.
    """
    if unknown := [route for route in only or () if route not in run.tasks]:
        raise UnknownModelError(f"no head {unknown[0]}; there are {', '.join(run.tasks)}")
    run.network.to(Machine(device).device)
    gaps = []
    with LoggedProgress(*_COLUMNS, console=console or make_console(stderr=True)) as progress:
        for route in only or run.tasks:
            rows = evenly_spaced(len(run.tasks[route].splits[split]), most_samples)
            bar = progress.add_task(route, total=len(rows))
            advance = partial(progress.advance, bar)
            gaps.append(_measure_gap(run, run.tasks[route], split, rows, advance))
    return gaps


@dataclass(frozen=True)
class _GapMetric:
    """The metric of a task's gap.

    Attributes:
        name: The name of the metric.
        higher_is_better: Whether a higher value is better.
        read: A function from outputs, split and rows to answers.
        measure: A function from all answers to the value.
    """

    name: str
    higher_is_better: bool
    read: Callable[[Mapping[str, Array], Split, Sequence[int]], Answers]
    measure: Callable[[Answers], float]


def _likelihoods(outputs: Mapping[str, Array], split: Split, rows: Sequence[int]) -> Answers:
    """Return the log likelihood of a text's target words, and their number."""
    del split, rows
    return Answers(list(outputs[LOG_PROBS].sum(axis=1)), list((outputs[UNIFORM] < 0).sum(axis=1)))


_OTHER_METRICS = {
    TaskFamily.SUMMARIZATION: _GapMetric(  # avoids searching for every text twice
        "nats a word", False, _likelihoods, lambda a: float(-sum(a.predicted) / sum(a.wanted))
    )
}


def _gap_metric(task: TaskData) -> _GapMetric:
    """Return the task's metric, unless its family has no answers without a search."""
    better = METRICS[task.metric].higher_is_better
    own = _GapMetric(
        task.metric, better, partial(read_answers, task), lambda a: a.measure(task.metric)
    )
    return _OTHER_METRICS.get(task.family, own)


def _measure_gap(
    run: SavedRun, task: TaskData, split: str, rows: list[int], advance: Advance
) -> Gap:
    metric = _gap_metric(task)
    off, on = Answers([], []), Answers([], [])
    for start in range(0, len(rows), _BATCH):
        chosen = rows[start : start + _BATCH]
        both = _outputs_off_and_on(run, task, split, chosen)
        for answers, outputs in zip((off, on), both, strict=True):
            arrays = {name: value.float().cpu().numpy() for name, value in outputs.items()}
            answers.extend(metric.read(arrays, task.splits[split], chosen))
        advance(len(chosen))
    return Gap(
        route=task.route,
        metric=metric.name,
        split=split,
        samples=len(rows),
        off=metric.measure(off),
        on=metric.measure(on),
        higher_is_better=metric.higher_is_better,
    )


@torch.inference_mode()
def _outputs_off_and_on(
    run: SavedRun, task: TaskData, split: str, rows: Sequence[int]
) -> tuple[Outputs, Outputs]:
    """Return the outputs of a single stream, and with a partner drawn from the seed and rows."""
    sampler, network = run.sampler, run.network
    generator = np.random.default_rng((sampler.seed, 8, sampler.routes.index(task.route), rows[0]))
    other = run.tasks[sampler.draw_partner(task.route, generator)]
    available = len(other.splits[split])
    count = min(sampler.batch_sizes[other.route], available)
    partners = generator.choice(available, size=count, replace=False).tolist()
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
