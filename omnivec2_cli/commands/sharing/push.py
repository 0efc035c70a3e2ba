"""``omnivec2 push``: share a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from omnivec2_cli.errors import needs_extra, one_line_errors

AddressArgument = Annotated[
    str, typer.Argument(metavar="ADDRESS", help="DIR, s3://BUCKET/PREFIX or hf://OWNER/NAME.")
]


def push(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint directory.")],
    address: AddressArgument,
    name: Annotated[
        str | None, typer.Option(help="Name in the model card.  [default: the address's last part]")
    ] = None,
    licence: Annotated[
        str | None,
        typer.Option("--licence", "--license", help="Licence of the weights, e.g. apache-2.0."),
    ] = None,
) -> None:
    """Share a checkpoint: weights, heads and graphs as they are, a model card, and a manifest.

    The manifest has the sha256 of every file. Files that are there already are not sent again, also
    after a push that was interrupted. A model card is made unless the directory has a README.md.

    Examples:

        omnivec2 push checkpoints/mine /mnt/models/mine

        omnivec2 push checkpoints/mine s3://models/mine

        omnivec2 push checkpoints/mine hf://me/mine --license apache-2.0
    """
    with one_line_errors(), needs_extra("hub"):
        from omnivec2.sharing.outgoing import gather
        from omnivec2.sharing.stores import open_store
        from omnivec2_cli.transfer_progress import TransferProgress

        store = open_store(address)
        title = name or address.partition("?")[0].rstrip("/").rpartition("/")[2].partition("@")[0]
        outgoing = gather(checkpoint, title, licence)
        progress = TransferProgress("sent")
        sent = store.publish(outgoing, progress)
    for path in outgoing.left_out:
        typer.echo(f"not sent, because it is no file of a checkpoint: {path}", err=True)
    total = len(outgoing.manifest.files)
    typer.echo(
        f"{store.address}: {total} files, {outgoing.manifest.total_bytes / 2**20:,.1f} MiB; "
        f"sent {sent}, {total - sent} were there"
    )
