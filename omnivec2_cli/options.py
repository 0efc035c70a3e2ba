"""Options and defaults that several commands have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

DEFAULT_CHECKPOINT = Path("checkpoints/reference")
DEFAULT_REPOSITORY = Path("model_repo")
DATA_PLACES = (Path("data"), Path("../shared/data"))
"""Where data sets are looked for unless OMNIVEC2_DATA or --data says otherwise."""

CheckpointOption = Annotated[
    Path, typer.Option("--checkpoint", "-c", help="Checkpoint directory.", show_default=True)
]
RepositoryOption = Annotated[
    Path, typer.Option("--model-repo", help="Model repository; made from the checkpoint.")
]
DataOption = Annotated[
    Path,
    typer.Option(
        help="Directory of data sets.",
        envvar="OMNIVEC2_DATA",
        default_factory=lambda: next((p for p in DATA_PLACES if p.is_dir()), DATA_PLACES[0]),
        show_default="data, or ../shared/data",
    ),
]
ServedRepositoryOption = Annotated[
    Path, typer.Option("--model-repo", help="The model repository that is being served.")
]
TritonOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="HOST:PORT",
        help="Triton server of this repository, in explicit model control mode (repeatable).",
    ),
]
LayoutOption = Annotated[
    Literal["fused", "shared"] | None,
    typer.Option(
        help="A copy of the trunk per head, or one for all.  [default: the repository's, or shared]"
    ),
]
RoutesArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="[ROUTE]...", help="Heads, e.g. image/classification. Default: all."),
]


def assemble_quietly(
    console: Console, checkpoint: Path, repository: Path, layout: str | None = None
) -> None:
    """Bring the repository up to date; one that came without a checkpoint is used as it is."""
    from export.repository.assemble import assemble
    from export.repository.layouts import Layout

    if not checkpoint.exists() and any(repository.glob("*/config.pbtxt")):
        return
    with console.status(f"assembling {repository} from {checkpoint}"):
        assemble(checkpoint, repository, Layout(layout) if layout else None)
