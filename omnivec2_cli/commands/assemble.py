"""``omnivec2 assemble``: write the model repository of a checkpoint."""

from __future__ import annotations

from pathlib import Path

import typer
from rich.console import Console

from omnivec2.terminal import make_console
from omnivec2_cli.errors import one_line_errors
from omnivec2_cli.options import (
    DEFAULT_CHECKPOINT,
    DEFAULT_REPOSITORY,
    CheckpointOption,
    LayoutOption,
    RepositoryOption,
)


def assemble(
    checkpoint: CheckpointOption = DEFAULT_CHECKPOINT,
    model_repo: RepositoryOption = DEFAULT_REPOSITORY,
    layout: LayoutOption = None,
) -> None:
    """Write the model repository of an exported checkpoint for Triton, if it changed.

    Needs neither torch nor a connection; models that are up to date are left alone.

    Examples:
        omnivec2 assemble

        omnivec2 assemble --layout fused --model-repo /srv/models
    """
    from omnivec2.model_config import model_directories

    with one_line_errors():
        update_repository(make_console(stderr=True), checkpoint, model_repo, layout)
        typer.echo(f"{len(model_directories(model_repo))} models in {model_repo}")


def update_repository(
    console: Console, checkpoint: Path, repository: Path, layout: str | None = None
) -> None:
    """Update a model repository from a checkpoint, if the checkpoint changed.

    A repository that was delivered without its checkpoint is used as it is.

    Args:
        console: The console on which the progress is shown.
        checkpoint: The directory of the exported checkpoint.
        repository: The directory of the model repository; it is made if it is not there.
        layout: The layout's name; None keeps the repository's, or takes the default.

    Raises:
        OmniVecError: The checkpoint cannot be read, or was not exported.
    """
    from export.repository.assembly import assemble as write_repository
    from export.repository.layouts import Layout
    from omnivec2.model_config import model_directories

    if not checkpoint.exists() and model_directories(repository):
        return
    with console.status(f"assembling {repository} from {checkpoint}"):
        write_repository(checkpoint, repository, Layout(layout) if layout else None)
