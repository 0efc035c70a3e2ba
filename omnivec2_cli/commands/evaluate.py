"""``omnivec2 train | evaluate | export | engines``: what needs more than serving does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from omnivec2.terminal import make_console
from omnivec2_cli.errors import needs_extra, one_line_errors
from omnivec2_cli.options import (
    DEFAULT_CHECKPOINT,
    DEFAULT_REPOSITORY,
    CheckpointOption,
    DataOption,
    LayoutOption,
    RepositoryOption,
    RoutesArgument,
    assemble_quietly,
)

if TYPE_CHECKING:
    from omnivec2.training.recipe import Recipe
    from omnivec2.training.training_run import Paths

DEFAULT_RUN = Path("runs/reference")
RecipeArgument = Annotated[str, typer.Argument(help="Name of a recipe, or a YAML file.")]
RunOption = Annotated[Path, typer.Option(help="State of the run; train goes on with it.")]
DeviceOption = Annotated[
    Literal["auto", "cpu", "cuda"], typer.Option(help="Where to compute; auto: a GPU if any.")
]


def train(
    data: DataOption,
    recipe: RecipeArgument = "reference",
    run: RunOption = DEFAULT_RUN,
    checkpoint: CheckpointOption = DEFAULT_CHECKPOINT,
    stop_after: Annotated[
        int | None, typer.Option(min=1, help="Stop at this step; run again to go on.")
    ] = None,
    device: DeviceOption = "auto",
    then_evaluate: Annotated[
        bool, typer.Option("--evaluate", help="Then export, measure on the test parts, report.")
    ] = False,
) -> None:
    """Train a network by a recipe; a run that was stopped goes on where it was.

    Examples:
        omnivec2 train reference --data /data --run runs/first --checkpoint checkpoints/first

        omnivec2 train my-recipe.yaml --data /data --stop-after 100

        omnivec2 train my-recipe.yaml --data /data --evaluate
    """
    with one_line_errors(), needs_extra("train"):
        from omnivec2.training.recipe import load_recipe
        from omnivec2.training.training_run import Paths
        from omnivec2.training.training_run import train as run_training

        chosen = load_recipe(recipe)
        paths = Paths(data=data, run=run, checkpoint=checkpoint)
        run_training(chosen, paths, stop_after_steps=stop_after, device=device)
    if then_evaluate:
        with one_line_errors(), needs_extra("export"):
            _export_and_measure(chosen, paths, device)


def _export_and_measure(recipe: Recipe, paths: Paths, device: str) -> None:
    """Figures of a trained checkpoint on the test parts, into its head specs and a report."""
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
    assemble_quietly(console, checkpoint, repository, "fused")
    report = Report(paths.run)
    results = evaluate_checkpoint(
        checkpoint, paths.data, repository, console=console, look=report.look
    )
    save_metrics(checkpoint, results)
    console.print(results_table(results))
    gaps = measure_gaps(load_run(recipe, paths.run, paths.data), device=device, console=console)
    console.print(gaps_table(gaps))
    console.print(f"wrote {report.write(results, gaps)}")


def evaluate(
    data: DataOption,
    routes: RoutesArgument = None,
    checkpoint: CheckpointOption = DEFAULT_CHECKPOINT,
    model_repo: Annotated[
        Path, typer.Option(help="Model repository of whole graphs; made from the checkpoint.")
    ] = Path(".cache/evaluated"),
    split: Annotated[str, typer.Option(help="test is for final figures only.")] = "test",
    most_samples: Annotated[
        int | None, typer.Option(min=1, help="Measure on so many, for a quick look.")
    ] = None,
    save: Annotated[
        bool, typer.Option("--save", help="Write the figures into the checkpoint's head specs.")
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the figures to this file as well.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write a report with pictures into this folder.")
    ] = None,
) -> None:
    """Measure heads through their exported graphs, beside simple models on the same arrays.

    Examples:
        omnivec2 evaluate --data /data

        omnivec2 evaluate image/classification --split val --most-samples 200

        omnivec2 evaluate --data /data --report runs/seen
    """
    console = make_console()
    with one_line_errors(), needs_extra("train"):
        from omnivec2.training.evaluation.evaluate_heads import (
            evaluate_checkpoint,
            save_metrics,
        )
        from omnivec2.training.evaluation.evaluation_report import results_table, write_json
        from omnivec2.training.evaluation.training_report import Report

        # Whole graphs are what figures are measured on; the parts are held to answer alike.
        assemble_quietly(console, checkpoint, model_repo, "fused")
        pages = None if report is None else Report(report)
        results = evaluate_checkpoint(
            checkpoint,
            data,
            model_repo,
            only=routes or None,
            split=split,
            most_samples=most_samples,
            console=console,
            look=None if pages is None else pages.look,
        )
        console.print(results_table(results))
        if json_file is not None:
            write_json(results, json_file)
        if pages is not None:
            console.print(f"wrote {pages.write(results)}")
        if save:
            save_metrics(checkpoint, results)


def gap(
    data: DataOption,
    recipe: RecipeArgument = "reference",
    run: RunOption = DEFAULT_RUN,
    only: Annotated[
        list[str] | None, typer.Option(help="Measure only this head (repeatable).")
    ] = None,
    split: Annotated[str, typer.Option(help="test is for final figures only.")] = "test",
    most_samples: Annotated[
        int, typer.Option(min=1, help="Measure on so many of each head.")
    ] = 2000,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the figures to this file as well.")
    ] = None,
    device: DeviceOption = "auto",
) -> None:
    """Measure what heads would gain from cross-attention, which is not served.

    Every head on the same samples without it (m = 0) and beside samples of another modality
    (m = 1). Takes the recipe and the state of a run: checkpoints have no cross-attention.

    Examples:
        omnivec2 gap reference --data /data --run runs/first

        omnivec2 gap my-recipe.yaml --only image/classification --split val --most-samples 200
    """
    with one_line_errors(), needs_extra("train"):
        from omnivec2.training.evaluation.evaluation_report import write_json
        from omnivec2.training.evaluation.fusion_gap import load_run, measure_gaps
        from omnivec2.training.evaluation.fusion_gap_table import gaps_table
        from omnivec2.training.recipe import load_recipe

        console = make_console()
        gaps = measure_gaps(
            load_run(load_recipe(recipe), run, data),
            only=only,
            split=split,
            most_samples=most_samples,
            device=device,
            console=console,
        )
        console.print(gaps_table(gaps))
        if json_file is not None:
            write_json([], json_file, gaps)


def export(
    routes: RoutesArgument = None,
    checkpoint: CheckpointOption = DEFAULT_CHECKPOINT,
    layout: LayoutOption = None,
    out: Annotated[
        Path | None, typer.Option(help="Write a Triton model repository of all heads here.")
    ] = None,
    engine: Annotated[
        Literal["onnx", "tensorrt"], typer.Option(help="What will run the repository's models.")
    ] = "onnx",
    precision: Annotated[
        Literal["fp32", "fp16", "bf16"], typer.Option(help="What they compute in.")
    ] = "fp32",
    version_compatible: Annotated[
        bool, typer.Option(help="TensorRT: plans that later releases load too.")
    ] = False,
    timing_cache: Annotated[
        Path | None, typer.Option(help="TensorRT: file that makes the next build quicker.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Export what is up to date too.")] = False,
) -> None:
    """Write ONNX graphs and compare them with PyTorch; a difference fails.

    Graphs go into the checkpoint, whole (`fused`) and in parts (`shared`). With `--out` they
    become a model repository for Triton or `omnivec2 serve`, built for another engine or
    precision if asked for; TensorRT needs the GPU that will serve.

    Examples:
        omnivec2 export

        omnivec2 export image/classification --checkpoint checkpoints/first --force

        omnivec2 export --layout shared --out model_repo

        omnivec2 export --layout fused --engine tensorrt --precision fp16 --out plans
    """
    converted = (engine, precision) != ("onnx", "fp32")
    if converted and out is None:
        raise typer.BadParameter("--engine and --precision are of a repository: give its --out")
    with one_line_errors(), needs_extra("export"):
        from export.export_run import export_checkpoint, require_ok
        from export.repository.assemble import assemble
        from export.repository.conversion import build_repository, make_target
        from export.repository.layouts import Layout

        target = make_target(
            engine, precision, version_compatible=version_compatible, timing_cache=timing_cache
        )
        layouts = [Layout(layout)] if layout else list(Layout)
        require_ok(export_checkpoint(checkpoint, only=routes or None, layouts=layouts, force=force))
        if out is None:
            return
        if converted:
            models = build_repository(checkpoint, out, Layout(layout or "shared"), target)
        else:
            models = assemble(checkpoint, out, Layout(layout) if layout else None)
        typer.echo(f"{len(models)} models in {out}")


def engines(
    checkpoint: CheckpointOption = DEFAULT_CHECKPOINT,
    model_repo: RepositoryOption = DEFAULT_REPOSITORY,
    layout: LayoutOption = None,
    precision: Annotated[
        Literal["fp32", "fp16", "bf16"], typer.Option(help="What the plans compute in.")
    ] = "fp16",
) -> None:
    """Build TensorRT plans of an exported checkpoint on this machine's GPU, if need be.

    Plans that are there are kept while the graphs, the GPU and TensorRT are the same. Needs
    no torch.

    Examples:
        omnivec2 engines --model-repo /plans

        omnivec2 engines --precision bf16 --model-repo /plans
    """
    with one_line_errors(), needs_extra("engines"):
        from export.repository.conversion import make_target
        from export.repository.layouts import Layout
        from export.tensorrt.plan_cache import ensure_engines

        target = make_target("tensorrt", precision)
        chosen = Layout(layout or "shared")
        built = ensure_engines(checkpoint, model_repo, chosen, target)
        typer.echo(f"plans in {model_repo}: {f'built: {built}' if built else 'up to date'}")
