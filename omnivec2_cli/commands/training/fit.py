"""``omnivec2 fit``: heads of two layers on the frozen network, as many as a recipe names."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from omnivec2.terminal import make_console
from omnivec2_cli.errors import needs_extra, one_line_errors
from omnivec2_cli.options import DEFAULT_CHECKPOINT, CheckpointOption, DataOption


def fit(
    recipe: Annotated[str, typer.Argument(help="YAML file, or the name of a recipe that ships.")],
    data: DataOption,
    checkpoint: CheckpointOption = DEFAULT_CHECKPOINT,
    out: Annotated[Path, typer.Option(help="Checkpoint to write.")] = Path("checkpoints/fitted"),
    run: Annotated[
        Path, typer.Option(help="Directory where features are cached for the next run.")
    ] = Path("runs/fit"),
    only: Annotated[
        list[str] | None,
        typer.Option(help="Fit only this head, also if the checkpoint has it (repeatable)."),
    ] = None,
) -> None:
    """Fit heads to the frozen network and add them to a checkpoint.

    The trunk, the tokenizers and all other heads stay as they are stored. Each head is written
    when it is fitted, so a run that is stopped goes on where it was. Export the checkpoint
    afterwards.

    Examples:

        omnivec2 fit reference-frozen-heads --data /data --out checkpoints/next

        omnivec2 fit mine.yaml --data /data --only text/topic --out checkpoints/next
    """
    console = make_console()
    with one_line_errors(), needs_extra("train"):
        from omnivec2.training.data import DEFAULT_CACHE
        from omnivec2.training.frozen_heads.frozen_heads_recipe import read_recipe
        from omnivec2.training.frozen_heads.frozen_heads_run import FrozenHeadsPaths, fit_heads

        paths = FrozenHeadsPaths(data, DEFAULT_CACHE, checkpoint, run, out)
        fitted = 0
        for head in fit_heads(read_recipe(recipe), paths, console, only or ()):
            fitted += 1
            console.print(
                f"{head.route}: {head.metric} {head.value:.4g} in validation, "
                f"{head.samples:,} samples; {head.chosen}; temperature {head.temperature:.2f}",
                markup=False,
                highlight=False,
            )
        console.print(f"fitted {fitted} heads; wrote {out}" if fitted else f"nothing new for {out}")
