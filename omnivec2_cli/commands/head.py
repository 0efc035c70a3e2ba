"""``omnivec2 head``: change the heads of a deployment or checkpoint, at once or by a canary."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from omnivec2.canary.canary_state import CanaryLimits, CanaryPlan, read_canaries
from omnivec2.errors import InputError
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

LIMITS = CanaryLimits()

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
    share: Annotated[
        float,
        typer.Option(min=0, max=100, help="Canary: percentage of callers that the new one gets."),
    ] = 0.0,
    shadow: Annotated[
        bool,
        typer.Option("--shadow", help="Canary: the old one answers, the new one is compared."),
    ] = False,
    max_error_rate: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Canary: share of failed requests above which it is rolled back."
        ),
    ] = LIMITS.max_error_rate,
    max_latency_ratio: Annotated[
        float,
        typer.Option(
            min=1, help="Canary: ratio of its time to the old one's above which it is rolled back."
        ),
    ] = LIMITS.max_latency_ratio,
    max_disagreement: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Canary: share of differing answers above which it is rolled back."
        ),
    ] = LIMITS.max_disagreement,
    tolerance: Annotated[
        float, typer.Option(min=0, help="Canary: distance at which answers without labels differ.")
    ] = LIMITS.tolerance,
) -> None:
    """Add a head to a running deployment, or replace the head of the same name.

    The head is written beside the running models, tested, loaded and compared, and only then
    put into service. A head that fails is rejected with the reason, and the deployment keeps
    serving what it served before.

    With --share or --shadow it stands beside the served one, on the same trunk, until `head
    promote` or `head rollback`, or until it exceeds a limit and is rolled back by itself.

    Examples:

        omnivec2 head add image/defects --checkpoint checkpoints/mine

        omnivec2 head add image/defects -c checkpoints/mine --share 5

        omnivec2 head add image/defects -c checkpoints/mine --shadow --max-disagreement 0.1

        omnivec2 head add image/defects -c checkpoints/mine --triton 127.0.0.1:8001

        omnivec2 head add image/defects -c checkpoints/mine --triton triton:8001
    """
    plan = CanaryPlan(
        share=share,
        shadow=shadow,
        limits=CanaryLimits(
            max_error_rate=max_error_rate,
            max_latency_ratio=max_latency_ratio,
            max_disagreement=max_disagreement,
            tolerance=tolerance,
        ),
    )
    with one_line_errors():
        from rollout.change_heads import add_head
        from rollout.named_servers import connected
        from service.http.gateway_client import wait_for_version

        if share or shadow:
            _add_canary(route, checkpoint, model_repo, plan, triton or [], gateway)
            return
        if plan != CanaryPlan():
            raise InputError("limits of a canary are given without --share and --shadow")
        with connected(triton or []) as servers:
            added = add_head(checkpoint, route, model_repo, servers.controls, typer.echo)
            for address in servers.load_into_new(added.written):
                typer.echo(f"loaded on {address}, which is new")
        if gateway is not None:
            wait_for_version(gateway, route, str(added.version))
        typer.echo(f"{route} is version {added.version} in {model_repo}")


@heads_app.command("promote")
def head_promote(
    route: HeadArgument,
    model_repo: ServedRepositoryOption = DEFAULT_REPOSITORY,
    triton: TritonOption = None,
) -> None:
    """Put the canary of a head in its place.

    Examples:

        omnivec2 head promote image/defects

        omnivec2 head promote image/defects --triton triton:8001
    """
    with one_line_errors():
        from rollout.canary_heads import promote
        from rollout.named_servers import connected

        with connected(triton or []) as servers:
            canary = promote(route, model_repo, servers.controls, typer.echo)
        typer.echo(f"{route} is version {canary.version} in {model_repo}")


@heads_app.command("rollback")
def head_rollback(
    route: HeadArgument,
    model_repo: ServedRepositoryOption = DEFAULT_REPOSITORY,
    triton: TritonOption = None,
    reason: Annotated[str, typer.Option(help="Reason, which is recorded.")] = "by hand",
) -> None:
    """End the canary of a head and remove it, also after a gateway has rolled it back.

    Examples:

        omnivec2 head rollback image/defects --reason "too many scratches missed"
    """
    with one_line_errors():
        from rollout.canary_heads import roll_back
        from rollout.named_servers import connected

        with connected(triton or []) as servers:
            canary = roll_back(route, model_repo, reason, servers.controls)
        typer.echo(f"{route}: version {canary.version} was rolled back: {canary.reason}")


@heads_app.command("status")
def head_status(
    route: HeadArgument,
    model_repo: ServedRepositoryOption = DEFAULT_REPOSITORY,
    gateway: Annotated[
        list[str] | None,
        typer.Option(help="URL of a gateway, or of its metrics, whose figures count (repeatable)."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the canary of a head: share, state and reason, and what both versions did.

    Examples:

        omnivec2 head status image/defects --gateway http://127.0.0.1:8080
    """
    with one_line_errors():
        from omnivec2_cli.canary_table import (
            canary_rows,
            canary_table,
            describe_canary,
            read_figures,
        )
        from rollout.canary_heads import read_status

        canary, served = read_status(route, model_repo)
        rows = canary_rows(canary, served, read_figures(gateway or [], route))
    if as_json:
        typer.echo(json.dumps(canary.model_dump(mode="json") | {"versions": rows}))
        return
    for line in describe_canary(canary):
        typer.echo(line)
    make_console().print(canary_table(rows))


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
        from rollout.named_servers import connected

        with connected(triton or []) as servers:
            gone = remove_head(route, model_repo, servers.controls)
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

        rows = list_heads(read_deployed(model_repo), read_canaries(model_repo))
    if as_json:
        typer.echo(json.dumps(rows))
        return
    make_console().print(deployed_table(str(model_repo), rows))


def _add_canary(
    route: str,
    checkpoint: Path,
    model_repo: Path,
    plan: CanaryPlan,
    triton: list[str],
    gateway: str | None,
) -> None:
    """Add a head beside the served one, and wait for a gateway to use it if one is named."""
    from rollout.canary_heads import add_candidate
    from rollout.named_servers import connected
    from service.http.gateway_client import wait_for_canary

    with connected(triton) as servers:
        canary = add_candidate(checkpoint, route, model_repo, plan, servers.controls, typer.echo)
    if gateway is not None:
        wait_for_canary(gateway, route, str(canary.version))
    gets = [f"answers {plan.share:g} % of callers"] if plan.share else []
    gets += ["is compared in the shadow of others"] if plan.shadow else []
    typer.echo(f"{route}: version {canary.version} {' and '.join(gets)}")
