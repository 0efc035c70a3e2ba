"""``omnivec2 gap``: measure what cross-attention is worth."""

from __future__ import annotations

from typing import Annotated

import typer

from omnivec2.terminal import make_console
from omnivec2_cli.errors import needs_extra, one_line_errors
from omnivec2_cli.options import (
    DEFAULT_RUN,
    DataOption,
    DeviceOption,
    JsonFileOption,
    RecipeArgument,
    RunOption,
    SplitOption,
)


def gap(
    data: DataOption,
    recipe: RecipeArgument = "reference",
    run: RunOption = DEFAULT_RUN,
    only: Annotated[
        list[str] | None, typer.Option(help="Measure only this head (repeatable).")
    ] = None,
    split: SplitOption = "test",
    most_samples: Annotated[
        int, typer.Option(min=1, help="Measure each head on at most this many samples.")
    ] = 2000,
    json_file: JsonFileOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Measure what heads would gain from cross-attention, which is not served.

    Every head is measured twice on the same samples: without cross-attention (m = 0) and with
    samples of another modality as partners (m = 1). This needs the recipe and the state of a
    run, because checkpoints hold no cross-attention.

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
