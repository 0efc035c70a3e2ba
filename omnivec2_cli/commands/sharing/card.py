"""``omnivec2 card``: write the model card of a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from omnivec2_cli.errors import needs_extra, one_line_errors


def card(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint directory.")],
    name: Annotated[
        str | None, typer.Option(help="Name of the model.  [default: the directory's]")
    ] = None,
    licence: Annotated[
        str | None,
        typer.Option("--licence", "--license", help="Licence of the weights, e.g. apache-2.0."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="File to write instead of printing, e.g. README.md.")
    ] = None,
) -> None:
    """Write a model card from the head specs: figures, data, licences, limits.

    Its metadata is the Hugging Face Hub's. A README.md in the checkpoint's directory is what
    `omnivec2 push` sends: write the card there to add what the specs do not know.

    Examples:

        omnivec2 card checkpoints/reference

        omnivec2 card checkpoints/mine --license apache-2.0 --out checkpoints/mine/README.md
    """
    with one_line_errors(), needs_extra("hub"):
        from omnivec2.checkpoint import read_checkpoint
        from omnivec2.sharing.model_card import write_card

        text = write_card(read_checkpoint(checkpoint), name or checkpoint.resolve().name, licence)
    if out is None:
        typer.echo(text, nl=False)
    else:
        out.write_text(text, "utf-8")
