"""``omnivec2 pull``: bring a shared checkpoint here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from omnivec2_cli.commands.sharing.push import AddressArgument
from omnivec2_cli.errors import needs_extra, one_line_errors


def pull(
    address: AddressArgument,
    directory: Annotated[
        Path, typer.Argument(help="Directory of the checkpoint: a new one, or one pulled before.")
    ],
) -> None:
    """Bring a shared checkpoint here, with every digest checked; nothing of it is unpickled.

    The directory is replaced only once all is there and right. Files that it has already are not
    fetched again, and an interrupted pull goes on where it was.

    Examples:

        omnivec2 pull hf://me/mine checkpoints/mine

        omnivec2 pull s3://models/mine checkpoints/mine
    """
    with one_line_errors(), needs_extra("hub"):
        from omnivec2.sharing.pulling import pull as pull_checkpoint
        from omnivec2.sharing.stores import open_store
        from omnivec2_cli.transfer_progress import TransferProgress

        progress = TransferProgress("fetched")
        checkpoint, count = pull_checkpoint(open_store(address), directory, progress)
    heads = ", ".join(head.route for head in checkpoint.heads) or "none"
    typer.echo(
        f"{directory}: {count} files fetched, {progress.bytes / 2**20:,.1f} MiB; heads: {heads}"
    )
