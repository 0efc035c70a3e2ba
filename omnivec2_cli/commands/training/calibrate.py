"""``omnivec2 calibrate``: fit the temperatures of heads that answer with a class."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from omnivec2.terminal import make_console
from omnivec2_cli.commands.assemble import update_repository
from omnivec2_cli.errors import needs_extra, one_line_errors
from omnivec2_cli.options import (
    DEFAULT_CHECKPOINT,
    DEFAULT_WHOLE_GRAPHS,
    CheckpointOption,
    DataOption,
    HeadsArgument,
    WholeGraphsOption,
)


def calibrate(
    data: DataOption,
    routes: HeadsArgument = None,
    checkpoint: CheckpointOption = DEFAULT_CHECKPOINT,
    model_repo: WholeGraphsOption = DEFAULT_WHOLE_GRAPHS,
    most_samples: Annotated[
        int | None,
        typer.Option(min=50, help="Most validation samples to use of a head.  [default: all]"),
    ] = None,
) -> None:
    """Fit the temperature of heads that answer with one class, on validation data.

    Logits are divided by it, so that scores are as often right as they say. The class that is
    answered stays the same. A head keeps its temperature where another is not better beyond
    chance, as with few samples, and is never made surer than its weights make it, since the
    validation data helped to choose them. It is written into the head's spec; serve the
    checkpoint again, or `omnivec2 assemble`, to use it. Heads that `adapt` and `fit` fitted have
    theirs in their weights.

    Examples:

        omnivec2 calibrate image/classification --data /data
    """
    console = make_console()
    with one_line_errors(), needs_extra("train"):
        from omnivec2.training.frozen_heads.fitted_temperatures import calibrate_heads

        update_repository(console, checkpoint, model_repo, "fused")
        found = calibrate_heads(
            checkpoint, data, model_repo, console, only=routes or (), most_samples=most_samples
        )
    table = Table(caption="calibration error on validation data, before and after")
    for column in ("head", "samples", "temperature", "before", "after"):
        table.add_column(column, justify="left" if column == "head" else "right")
    for head in found:
        table.add_row(
            head.route,
            f"{head.samples:,}",
            f"{head.temperature:.3g}",
            f"{head.before:.4f}",
            f"{head.after:.4f}",
        )
    console.print(table)
