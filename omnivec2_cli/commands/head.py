"""``omnivec2 head add | remove | list | join``: change the heads of a deployment or checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from omnivec2.terminal import make_console
from omnivec2_cli.errors import needs_extra, one_line_errors
from omnivec2_cli.options import (
    DEFAULT_CHECKPOINT,
    DEFAULT_REPOSITORY,
    CheckpointOption,
    HeadArgument,
    JsonOption,
    ServedRepositoryOption,
    TritonOption,
)
from omnivec2_cli.tables import deployed_table

heads_app = typer.Typer(
    no_args_is_help=True,
    help="Add heads to a running deployment, remove them, list them; join checkpoints.",
)


@heads_app.command("add")
def head_add(
    route: HeadArgument,
    checkpoint: CheckpointOption = DEFAULT_CHECKPOINT,
    model_repo: ServedRepositoryOption = DEFAULT_REPOSITORY,
    triton: TritonOption = None,
    gateway: Annotated[
        str | None,
        typer.Option(help="URL of a gateway to wait for, until it serves the head or rejects it."),
    ] = None,
) -> None:
    """Add a head to a running deployment, or replace the head of the same name.

    The head is written beside the running models, tested, loaded and compared, and only then
    put into service. A head that fails is rejected with the reason, and the deployment keeps
    serving what it served before.

    Examples:
        omnivec2 head add image/defects --checkpoint checkpoints/mine

        omnivec2 head add image/defects -c checkpoints/mine --triton 127.0.0.1:8001
    """
    with one_line_errors():
        from rollout.change_heads import add_head
        from rollout.triton_control import TritonControl
        from service.http.gateway_client import wait_for_version

        servers = [TritonControl(address) for address in triton or []]
        added = add_head(checkpoint, route, model_repo, servers, typer.echo)
        if gateway is not None:
            wait_for_version(gateway, route, str(added.version))
        typer.echo(f"{route} is version {added.version} in {model_repo}")


@heads_app.command("remove")
def head_remove(
    route: HeadArgument,
    model_repo: ServedRepositoryOption = DEFAULT_REPOSITORY,
    triton: TritonOption = None,
) -> None:
    """Remove a head from a running deployment, with the parts that no other head uses.

    Examples:
        omnivec2 head remove image/defects --triton 127.0.0.1:8001
    """
    with one_line_errors():
        from rollout.change_heads import remove_head
        from rollout.triton_control import TritonControl

        servers = [TritonControl(address) for address in triton or []]
        gone = remove_head(route, model_repo, servers)
        typer.echo(f"removed {', '.join(gone)}")


@heads_app.command("join")
def head_join(
    route: HeadArgument,
    donor: Annotated[Path, typer.Option("--from", help="Checkpoint that the head was trained in.")],
    checkpoint: CheckpointOption = DEFAULT_CHECKPOINT,
) -> None:
    """Copy a head that was trained alone into the checkpoint whose trunk it was trained on.

    Export the checkpoint again afterwards: graphs belong to the weights they were exported from.

    Examples:
        omnivec2 head join text/summarization --from checkpoints/writing
    """
    with one_line_errors(), needs_extra("train"):
        from omnivec2.network.join_heads import join_head

        joined = join_head(route, donor, checkpoint)
        typer.echo(f"{route} is one of {len(joined.heads)} heads in {checkpoint}")


@heads_app.command("list")
def head_list(
    model_repo: ServedRepositoryOption = DEFAULT_REPOSITORY,
    as_json: JsonOption = False,
) -> None:
    """List the heads of a model repository with their versions and parts.

    Examples:
        omnivec2 head list
    """
    with one_line_errors():
        from rollout.deployed_heads import list_heads, read_deployed

        rows = list_heads(read_deployed(model_repo))
    if as_json:
        typer.echo(json.dumps(rows))
        return
    make_console().print(deployed_table(str(model_repo), rows))
