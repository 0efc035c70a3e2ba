"""``omnivec2 models``: list the heads of a checkpoint, or what they cost."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from omnivec2.terminal import make_console
from omnivec2_cli.errors import needs_extra, one_line_errors
from omnivec2_cli.options import DEFAULT_CHECKPOINT, CheckpointOption
from omnivec2_cli.tables import heads_table

if TYPE_CHECKING:
    from export.cost.head_cost import HeadCost


def models(
    checkpoint: CheckpointOption = DEFAULT_CHECKPOINT,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
    cost: Annotated[
        bool, typer.Option("--cost", help="Print weights by part and operations by head instead.")
    ] = False,
    model_repo: Annotated[
        Path | None,
        typer.Option(help="With --cost: count in the graphs of this repository, without torch."),
    ] = None,
) -> None:
    """List the heads of a checkpoint with their metrics, data and licences.

    `--cost` prints the weights of every part, and the floating-point operations of one sample of
    every head instead.

    Examples:

        omnivec2 models

        omnivec2 models --json

        omnivec2 models --cost --model-repo model_repo
    """
    from omnivec2.checkpoint import read_checkpoint

    if model_repo is not None and not cost:
        raise typer.BadParameter("--model-repo is for --cost")
    if cost:
        with one_line_errors():
            _print_costs(checkpoint, model_repo, as_json=as_json)
        return
    with one_line_errors():
        heads = read_checkpoint(checkpoint).heads
    if as_json:
        typer.echo(json.dumps([head.model_dump(mode="json") for head in heads]))
        return
    make_console().print(heads_table(f"{checkpoint}: {len(heads)} heads", heads))


def _print_costs(checkpoint: Path, model_repo: Path | None, *, as_json: bool) -> None:
    from export.cost.head_cost import weights_by_part
    from omnivec2_cli.cost_tables import operations_table, weights_table

    if model_repo is not None:
        from export.cost.graph_cost import repository_costs, repository_weights

        costs, weights = repository_costs(model_repo), repository_weights(model_repo)
    else:
        costs, weights = _checkpoint_costs(checkpoint)
    parts = weights_by_part(weights)
    if as_json:
        content = {"weights": parts, "operations": [asdict(cost) for cost in costs]}
        typer.echo(json.dumps(content))
        return
    console = make_console()
    console.print(weights_table(str(model_repo or checkpoint), parts))
    console.print(operations_table(costs))


def _checkpoint_costs(checkpoint: Path) -> tuple[list[HeadCost], Path]:
    """Return the cost of every head of a checkpoint, and its weights file."""
    from omnivec2.checkpoint import read_checkpoint

    with needs_extra("export"):
        from export.cost.network_cost import network_cost
        from omnivec2.network.saved_network import load_network

    stored = read_checkpoint(checkpoint)
    network = load_network(checkpoint)
    return [network_cost(network, head) for head in stored.heads], stored.weights_path
