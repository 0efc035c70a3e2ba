"""``omnivec2 evaluate``: measure heads on their test sets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from omnivec2.terminal import make_console
from omnivec2_cli.commands.assemble import update_repository
from omnivec2_cli.errors import needs_extra, one_line_errors
from omnivec2_cli.options import (
    DEFAULT_CHECKPOINT,
    CheckpointOption,
    DataOption,
    HeadsArgument,
    JsonFileOption,
    SplitOption,
)


def evaluate(
    data: DataOption,
    routes: HeadsArgument = None,
    checkpoint: CheckpointOption = DEFAULT_CHECKPOINT,
    model_repo: Annotated[
        Path,
        typer.Option(help="Model repository of whole graphs; it is written from the checkpoint."),
    ] = Path(".cache/evaluated"),
    split: SplitOption = "test",
    most_samples: Annotated[
        int | None,
        typer.Option(min=1, help="Measure on at most this many samples, for a quick look."),
    ] = None,
    save: Annotated[
        bool, typer.Option("--save", help="Write the figures into the checkpoint's head specs.")
    ] = False,
    json_file: JsonFileOption = None,
    report: Annotated[
        Path | None, typer.Option(help="Write a report with pictures into this folder.")
    ] = None,
) -> None:
    """Measure heads through their exported graphs, and simple models on the same arrays.

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

        # Figures are measured on whole graphs; the export checks that the parts give equal answers.
        update_repository(console, checkpoint, model_repo, "fused")
        pages = None if report is None else Report(report)
        results = evaluate_checkpoint(
            checkpoint,
            data,
            model_repo,
            only=routes or None,
            split=split,
            most_samples=most_samples,
            console=console,
            on_answers=None if pages is None else pages.add_answers,
        )
        console.print(results_table(results))
        if json_file is not None:
            write_json(results, json_file)
        if pages is not None:
            console.print(f"wrote {pages.write(results)}")
        if save:
            save_metrics(checkpoint, results)
