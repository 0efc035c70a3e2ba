"""``omnivec2 train``: train a network by a recipe."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from omnivec2.terminal import make_console
from omnivec2_cli.commands.assemble import update_repository
from omnivec2_cli.errors import needs_extra, one_line_errors, resumable
from omnivec2_cli.options import (
    DEFAULT_CHECKPOINT,
    DEFAULT_RUN,
    CheckpointOption,
    DataOption,
    DeviceOption,
    RecipeArgument,
    RunOption,
)

if TYPE_CHECKING:
    from omnivec2.training.recipe import Recipe
    from omnivec2.training.training_run import Paths


class ExperimentLogKind(StrEnum):
    """The tools that a run can be logged for."""

    TENSORBOARD = "tensorboard"
    MLFLOW = "mlflow"
    WANDB = "wandb"


def train(
    data: DataOption,
    recipe: RecipeArgument = "reference",
    run: RunOption = DEFAULT_RUN,
    checkpoint: CheckpointOption = DEFAULT_CHECKPOINT,
    stop_after: Annotated[
        int | None, typer.Option(min=1, help="Stop after this step; run again to resume.")
    ] = None,
    device: DeviceOption = "auto",
    log: Annotated[
        list[ExperimentLogKind] | None,
        typer.Option(
            help="Log for a tool that compares runs, on the local disk (repeatable).  "
            "[default: tensorboard]"
        ),
    ] = None,
    then_evaluate: Annotated[
        bool,
        typer.Option("--evaluate", help="Export, measure on the test parts and write a report."),
    ] = False,
) -> None:
    """Train a network by a recipe; a run that was stopped resumes where it stopped.

    Ctrl-C or SIGTERM saves after the running step (exit status 130 or 143); a second Ctrl-C stops
    at once. Run the same command again to go on.

    Examples:

        omnivec2 train reference --data /data --run runs/first --checkpoint checkpoints/first

        omnivec2 train my-recipe.yaml --data /data --stop-after 100

        omnivec2 train my-recipe.yaml --data /data --log tensorboard --log mlflow --evaluate
    """
    with one_line_errors(), needs_extra("train"), resumable(f"the state in {run}"):
        from omnivec2.training.journal import DEFAULT_LOGS
        from omnivec2.training.recipe import load_recipe
        from omnivec2.training.training_run import Paths
        from omnivec2.training.training_run import train as run_training

        chosen = load_recipe(recipe)
        paths = Paths(data=data, run=run, checkpoint=checkpoint)
        run_training(
            chosen, paths, stop_after_steps=stop_after, device=device, logs=log or DEFAULT_LOGS
        )
    if then_evaluate:
        with one_line_errors(), needs_extra("export"):
            _export_and_measure(chosen, paths, device)


def _export_and_measure(recipe: Recipe, paths: Paths, device: str) -> None:
    """Measure a trained checkpoint on the test parts; write its head specs and a report."""
    from export.export_run import export_checkpoint, require_ok
    from export.repository.layouts import Layout
    from omnivec2.checkpoint import read_checkpoint
    from omnivec2.errors import CheckpointError
    from omnivec2.training.evaluation.evaluate_heads import evaluate_checkpoint, save_metrics
    from omnivec2.training.evaluation.evaluation_report import results_table
    from omnivec2.training.evaluation.fusion_gap import load_run, measure_gaps
    from omnivec2.training.evaluation.fusion_gap_table import gaps_table
    from omnivec2.training.evaluation.training_report import Report

    console, checkpoint = make_console(), paths.checkpoint
    if not read_checkpoint(checkpoint).heads:
        raise CheckpointError(f"{checkpoint} has no heads to measure: no supervised stage was run")
    require_ok(export_checkpoint(checkpoint, layouts=[Layout.FUSED], force=False))
    repository = paths.run / "model_repo"
    update_repository(console, checkpoint, repository, "fused")
    report = Report(paths.run)
    results = evaluate_checkpoint(
        checkpoint, paths.data, repository, console=console, on_answers=report.add_answers
    )
    save_metrics(checkpoint, results)
    console.print(results_table(results))
    gaps = measure_gaps(load_run(recipe, paths.run, paths.data), device=device, console=console)
    console.print(gaps_table(gaps))
    console.print(f"wrote {report.write(results, gaps)}")
