"""``omnivec2 ablate``: measure what the parts of the network are worth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from omnivec2.terminal import make_console
from omnivec2_cli.errors import needs_extra, one_line_errors, resumable
from omnivec2_cli.options import DataOption, DeviceOption, RecipeArgument


def ablate(
    data: DataOption,
    recipe: RecipeArgument = "ablation",
    out: Annotated[
        Path,
        typer.Option(
            help="JSON file of all figures; those it already holds are not measured again."
        ),
    ] = Path("runs/ablation.json"),
    seeds: Annotated[int, typer.Option(min=1, help="Number of networks trained per variant.")] = 3,
    run: Annotated[Path, typer.Option(help="Directory for logs.")] = Path("runs/ablation"),
    device: DeviceOption = "auto",
) -> None:
    """Train a recipe with one part of the network changed at a time, and compare.

    The variants: one modality or several, a tokenizer per modality or one for all, a head per
    task or one for all; with a masked stage in the recipe, also networks that start as an
    autoencoder. This takes long (some minutes per network on two cores with the default recipe)
    and can be stopped: run it again, and it continues with the next network. A picture of the
    table is written beside the JSON file.

    Examples:

        omnivec2 ablate --data /data --seeds 3 --out ablation.json

        omnivec2 ablate my-ablation.yaml --data /data --seeds 1
    """
    console = make_console()
    with one_line_errors(), needs_extra("train"), resumable(f"every network measured, in {out},"):
        from omnivec2.training.ablation.ablation_run import ablate as run_ablation
        from omnivec2.training.ablation.ablation_run import cells_table
        from omnivec2.training.pictures.ablation_figure import draw_ablation
        from omnivec2.training.recipe import load_recipe

        cells = run_ablation(
            load_recipe(recipe), data, out, seeds=seeds, run=run, console=console, device=device
        )
        console.print(cells_table(cells))
        picture = out.with_suffix(".svg")
        draw_ablation(picture, cells)
        console.print(f"wrote {out} and {picture}")
