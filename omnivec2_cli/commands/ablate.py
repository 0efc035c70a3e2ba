"""``omnivec2 ablate``: what the parts of the network are worth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from omnivec2.terminal import make_console
from omnivec2_cli.errors import needs_extra, one_line_errors
from omnivec2_cli.options import DataOption


def ablate(
    data: DataOption,
    recipe: Annotated[str, typer.Argument(help="Name of a recipe, or a YAML file.")] = "ablation",
    out: Annotated[
        Path, typer.Option(help="JSON file of all figures; what it has is not measured again.")
    ] = Path("runs/ablation.json"),
    seeds: Annotated[int, typer.Option(min=1, help="Networks of every variant.")] = 3,
    run: Annotated[Path, typer.Option(help="Directory of logs.")] = Path("runs/ablation"),
    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option(help="Where to compute; auto: a GPU if any.")
    ] = "auto",
) -> None:
    """Train a recipe with one part of the network changed at a time, and compare.

    One modality or several, own tokenizers or one for all, own heads or one for all. It takes
    long (with the default recipe some minutes a network on two cores), and may be stopped: run
    it again, and it goes on with the next network. A picture of the table lies beside its file.

    Examples:
        omnivec2 ablate --data /data --seeds 3 --out ablation.json

        omnivec2 ablate my-ablation.yaml --data /data --seeds 1
    """
    console = make_console()
    with one_line_errors(), needs_extra("train"):
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
