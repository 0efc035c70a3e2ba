"""Validation of the averaged weights on the validation splits, during a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from rich.table import Table

from omnivec2.preprocess import collate
from omnivec2.training.batches import Batch, as_tensors
from omnivec2.training.data.base import TargetForm
from omnivec2.training.losses import LossScale
from omnivec2.training.optimisation import WeightAverage
from omnivec2.training.structure.training_arrays import target_scales
from omnivec2.training.supervised import SupervisedStage
from omnivec2.training.training_state import Progress

_BATCH = 32


@contextmanager
def averaged_weights(stage: SupervisedStage, average: WeightAverage) -> Iterator[None]:
    """Switch the network to its averaged weights and evaluation mode within the context."""
    network = stage.network
    current = {k: v.clone() for k, v in network.state_dict().items()}
    network.load_state_dict(average.state(network))
    network.eval()
    try:
        yield
    finally:
        network.load_state_dict(current)
        network.train()


@torch.no_grad()
def validate(stage: SupervisedStage, average: WeightAverage) -> dict[str, dict[str, float]]:
    """Compute the loss of every task, and the accuracy where it has classes."""
    with averaged_weights(stage, average):
        # So few samples may there be that none is left for validation.
        measured = [route for route, task in stage.tasks.items() if len(task.splits["val"])]
        return {route: _scores(stage, route) for route in measured}


def _scores(stage: SupervisedStage, route: str) -> dict[str, float]:
    task = stage.tasks[route]
    split = task.splits["val"]
    recipe = stage.recipe
    loss_of = stage.losses[route]
    deviation = target_scales(task)
    scales = None if deviation is None else torch.as_tensor(deviation)
    chosen = np.linspace(0, len(split) - 1, min(len(split), recipe.validation_samples))
    losses, correct, seen = 0.0, 0, 0
    # Of masks, boxes and labels that go together there is no single class to compare.
    has_one_class = (
        bool(task.labels)
        and task.form is TargetForm.PLAIN
        and isinstance(split.targets[0], int | np.integer)
    )
    for start in range(0, len(chosen), _BATCH):
        rows = [int(i) for i in chosen[start : start + _BATCH]]
        scale = LossScale(scales)
        if split.scales is not None:
            scale = LossScale(torch.as_tensor(np.asarray(split.scales)[rows])[:, None])
        targets = [split.targets[i] for i in rows]
        inputs = as_tensors(collate([split.samples[i] for i in rows]))
        batch = Batch(route, inputs, targets, scale).to(stage.device)
        with stage.autocast():
            outputs = stage.network(route, batch.inputs)
        losses += float(loss_of(outputs, targets, batch.scale)) * len(rows)
        seen += len(rows)
        if has_one_class:
            predicted = outputs["logits"].argmax(dim=1).cpu().numpy()
            correct += int((predicted == np.asarray(targets)).sum())
    scores = {"loss": losses / seen}
    if has_one_class:
        scores["accuracy"] = correct / seen
    return scores


def progress_table(
    title: str,
    progress: Progress,
    scores: Mapping[str, Mapping[str, float]],
    weights: Mapping[str, float],
) -> Table:
    """Render every task's training loss and weight, with validation scores if there are any."""
    table = Table(title=title)
    for column in ("task", "samples seen", "train loss", "weight", "val loss", "val accuracy"):
        table.add_column(column, justify="left" if column == "task" else "right")
    for route, weight in weights.items():
        score = scores.get(route, {})
        loss = f"{score['loss']:.3f}" if "loss" in score else ""
        accuracy = f"{score['accuracy']:.3f}" if score.get("accuracy") else ""
        seen = f"{progress.drawn.get(route, 0):,}"
        trained = f"{progress.losses.get(route, float('nan')):.3f}"
        table.add_row(route, seen, trained, f"{weight:.2f}", loss, accuracy)
    return table
