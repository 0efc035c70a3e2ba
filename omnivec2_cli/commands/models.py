"""``omnivec2 models``: list the heads of a checkpoint."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from omnivec2.terminal import make_console
from omnivec2_cli.errors import one_line_errors
from omnivec2_cli.options import DEFAULT_CHECKPOINT, CheckpointOption
from omnivec2_cli.tables import heads_table


def models(
    checkpoint: CheckpointOption = DEFAULT_CHECKPOINT,
    as_json: Annotated[bool, typer.Option("--json", help="Print the head specs as JSON.")] = False,
) -> None:
    """List the heads of a checkpoint with their metrics, data and licences.

    Examples:
        omnivec2 models

        omnivec2 models --json
    """
    from omnivec2.checkpoint import read_checkpoint

    with one_line_errors():
        heads = read_checkpoint(checkpoint).heads
    if as_json:
        typer.echo(json.dumps([head.model_dump(mode="json") for head in heads]))
        return
    make_console().print(heads_table(f"{checkpoint}: {len(heads)} heads", heads))
