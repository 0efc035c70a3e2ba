"""``omnivec2 engines``: build TensorRT plans."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from omnivec2_cli.errors import needs_extra, one_line_errors
from omnivec2_cli.options import (
    DEFAULT_CHECKPOINT,
    DEFAULT_REPOSITORY,
    CheckpointOption,
    LayoutOption,
    RepositoryOption,
)


def engines(
    checkpoint: CheckpointOption = DEFAULT_CHECKPOINT,
    model_repo: RepositoryOption = DEFAULT_REPOSITORY,
    layout: LayoutOption = None,
    precision: Annotated[
        Literal["fp32", "fp16", "bf16"], typer.Option(help="Precision that the plans compute in.")
    ] = "fp16",
) -> None:
    """Build the TensorRT plans of an exported checkpoint on this machine's GPU, where needed.

    Existing plans are kept as long as the graphs, the GPU and TensorRT stay the same. Needs no
    torch.

    Examples:

        omnivec2 engines --model-repo /plans

        omnivec2 engines --precision bf16 --model-repo /plans
    """
    with one_line_errors(), needs_extra("engines"):
        from export.repository.build_target import make_target
        from export.repository.layouts import Layout
        from export.tensorrt.plan_cache import ensure_plans

        target = make_target("tensorrt", precision)
        chosen = Layout(layout or "shared")
        built = ensure_plans(checkpoint, model_repo, chosen, target)
        typer.echo(f"plans in {model_repo}: {f'built: {built}' if built else 'up to date'}")
