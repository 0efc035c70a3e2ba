"""``omnivec2 head add | remove | list``: heads of a deployment that runs."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from omnivec2.cli_options import (
    DEFAULT_CHECKPOINT,
    DEFAULT_REPOSITORY,
    CheckpointOption,
    ServedRepositoryOption,
    TritonOption,
)
from omnivec2.cli_support import one_line_errors
from omnivec2.cli_tables import deployed_table
from omnivec2.terminal import make_console

heads_app = typer.Typer(
    no_args_is_help=True, help="Add heads to a running deployment, remove them, list them."
)


@heads_app.command("add")
def head_add(
    route: Annotated[str, typer.Argument(help="modality/task, e.g. image/classification.")],
    checkpoint: CheckpointOption = DEFAULT_CHECKPOINT,
    model_repo: ServedRepositoryOption = DEFAULT_REPOSITORY,
    triton: TritonOption = None,
    gateway: Annotated[
        str | None, typer.Option(help="Wait until this gateway serves it, or say why not.")
    ] = None,
) -> None:
    """Put a head into a running deployment, or in the place of the one of its name.

    It is written beside what runs, tried, loaded, compared, and only then switched to; a
    head that fails is refused with the reason, and what was served goes on being served.

    Examples:
        omnivec2 head add image/defects --checkpoint checkpoints/mine

        omnivec2 head add image/defects -c checkpoints/mine --triton 127.0.0.1:8001
    """
    with one_line_errors():
        from export.heads import add_head
        from export.triton_control import TritonControl
        from service.oneshot import wait_for_version

        servers = [TritonControl(address) for address in triton or []]
        added = add_head(checkpoint, route, model_repo, servers, typer.echo)
        if gateway is not None:
            wait_for_version(gateway, route, str(added.version))
        typer.echo(f"{route} is version {added.version} in {model_repo}")


@heads_app.command("remove")
def head_remove(
    route: Annotated[str, typer.Argument(help="modality/task, e.g. image/classification.")],
    model_repo: ServedRepositoryOption = DEFAULT_REPOSITORY,
    triton: TritonOption = None,
) -> None:
    """Take a head out of a running deployment, with the parts that no other head uses.

    Examples:
        omnivec2 head remove image/defects --triton 127.0.0.1:8001
    """
    with one_line_errors():
        from export.heads import remove_head
        from export.triton_control import TritonControl

        servers = [TritonControl(address) for address in triton or []]
        gone = remove_head(route, model_repo, servers)
        typer.echo(f"removed {', '.join(gone)}")


@heads_app.command("list")
def head_list(
    model_repo: ServedRepositoryOption = DEFAULT_REPOSITORY,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """List the heads of a model repository with their versions and parts.

    Examples:
        omnivec2 head list
    """
    with one_line_errors():
        from export.deployed import list_heads, read_deployed

        rows = list_heads(read_deployed(model_repo))
    if as_json:
        typer.echo(json.dumps(rows))
        return
    make_console().print(deployed_table(str(model_repo), rows))
