"""``omnivec2 fit``: all heads of a recipe, one after another, into one checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from omnivec2.checkpoint import read_checkpoint, write_checkpoint
from omnivec2.errors import UnknownModelError
from omnivec2.network.omnivec2 import module_name
from omnivec2.preprocess import preprocessor_for
from omnivec2.spec import HeadSpec, TensorSpec
from omnivec2.training.adaptation.fitting.fit_layers import state_of
from omnivec2.training.adaptation.frozen_network import Base, load_base
from omnivec2.training.adaptation.progress_report import progress_report
from omnivec2.training.data import load_task
from omnivec2.training.data.base import TaskData
from omnivec2.training.frozen_heads.fit_frozen_head import FrozenHeadFit, fit_frozen_head
from omnivec2.training.frozen_heads.frozen_heads_recipe import FrozenHead, FrozenHeadsRecipe


@dataclass(frozen=True)
class FrozenHeadsPaths:
    """The directories of a run.

    Attributes:
        data: The directory of data sets.
        cache: The directory of prepared arrays.
        base: The checkpoint whose network is frozen.
        run: The directory of summaries, which are kept for the next time.
        out: The checkpoint that is written; it may be the base.
    """

    data: Path
    cache: Path
    base: Path
    run: Path
    out: Path


@dataclass(frozen=True)
class FittedFrozenHead:
    """What a table says of a head.

    Attributes:
        route: The name of the head.
        metric: The name of its metric.
        value: The metric on ``val``.
        samples: The number of samples that it was fitted to.
        chosen: The choice in words.
        temperature: The number that logits were divided by.
    """

    route: str
    metric: str
    value: float
    samples: int
    chosen: str
    temperature: float


def fit_heads(
    recipe: FrozenHeadsRecipe, paths: FrozenHeadsPaths, console: Console, only: Sequence[str] = ()
) -> Iterator[FittedFrozenHead]:
    """Fit the heads of a recipe that the written checkpoint lacks, and add each when it is fitted.

    A run that was stopped goes on with the head that it was stopped in. Heads that are named in
    ``only`` are fitted again. Everything else of the base is kept as it is stored.

    Raises:
        UnknownModelError: A route in ``only`` is not in the recipe.
        ArtifactError: Data is missing, or the base is incomplete.
    """
    if unknown := set(only) - recipe.heads.keys():
        known = ", ".join(recipe.heads)
        raise UnknownModelError(f"the recipe has no head {min(unknown)}; it has {known}")
    present: set[str] = set()
    source = paths.base
    if (paths.out / "config.json").exists():
        source = paths.out
        present = {head.route for head in read_checkpoint(source).heads}
    for route, head in recipe.heads.items():
        if route not in only and (only or route in present):
            continue
        task = load_task(route, paths.data, cache=paths.cache, block=head.block)
        base = load_base(source, task.modality)
        if head.looks_into_f:
            base = base.with_f_mean()
        with progress_report(console) as start:
            fitted = fit_frozen_head(base, task, head, paths.run, recipe.seed, start)
        _write(paths.out, base, task, head, fitted)
        source = paths.out
        layers = fitted.layers
        yield FittedFrozenHead(
            route, task.metric, layers.metric, fitted.samples, fitted.chosen, layers.temperature
        )


def _write(out: Path, base: Base, task: TaskData, head: FrozenHead, fitted: FrozenHeadFit) -> None:
    """Add a head to the base, or replace the one of its name, and write the checkpoint."""
    prefix = f"heads.{module_name(task.route)}."
    stored = {name: array for name, array in base.stored.items() if not name.startswith(prefix)}
    tensors = {f"{prefix}{name}": value for name, value in state_of(fitted.layers.head).items()}
    heads = {**base.config.heads, task.route: fitted.config}
    config = base.config.model_copy(update={"heads": heads})
    others = [other for other in base.checkpoint.heads if other.route != task.route]
    write_checkpoint(
        out, config=config.model_dump(mode="json"), tensors=tensors, stored=stored,
        heads=[*others, _spec(base, task, head, fitted)],
    )  # fmt: skip


def _spec(base: Base, task: TaskData, head: FrozenHead, fitted: FrozenHeadFit) -> HeadSpec:
    """Return the spec of a fitted head, without metrics yet."""
    preprocessor = preprocessor_for(task.preprocess)
    name = "logits" if task.labels else "values"
    return HeadSpec(
        modality=task.modality,
        task=task.route.partition("/")[2],
        family=task.family,
        description=task.description,
        inputs=preprocessor.inputs,
        outputs=(TensorSpec(name=name, dtype="float32", shape=(fitted.config.outputs,)),),
        preprocess=task.preprocess,
        labels=task.labels,
        targets=task.targets,
        thresholds=fitted.thresholds,
        experimental=head.experimental,
        limits=preprocessor.limits,
        data=task.sources,
        data_block=None if task.block is None else dict(task.block),
        warm_starts=base.head.warm_starts,
        network=base.config.preset,
    )
