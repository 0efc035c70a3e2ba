"""``omnivec2 assemble``: write the model repository of a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from omnivec2.errors import ArtifactError
from omnivec2.terminal import make_console
from omnivec2_cli.errors import one_line_errors
from omnivec2_cli.options import (
    DEFAULT_CHECKPOINT,
    DEFAULT_REPOSITORY,
    CheckpointOption,
    LayoutOption,
    RepositoryOption,
)

Backend = Literal["onnxruntime", "openvino"]
"""Triton's backend that runs the graphs."""


def assemble(
    checkpoint: CheckpointOption = DEFAULT_CHECKPOINT,
    model_repo: RepositoryOption = DEFAULT_REPOSITORY,
    layout: LayoutOption = None,
    backend: Annotated[
        Backend | None,
        typer.Option(
            help="Triton's backend that runs the graphs. The gateway's own engines serve a "
            "repository for onnxruntime only.  [default: the repository's, or onnxruntime]"
        ),
    ] = None,
    costs: Annotated[
        Path | None,
        typer.Option(
            help="JSON file of the seconds that each model takes per batch size, from which "
            "Triton's batchers are set. If it is not there, they are measured on this machine, "
            "and written."
        ),
    ] = None,
) -> None:
    """Write the model repository of an exported checkpoint for Triton, if it changed.

    Needs neither torch nor a connection; models that are up to date are left alone.

    Examples:

        omnivec2 assemble

        omnivec2 assemble --layout fused --model-repo /srv/models

        omnivec2 assemble --backend openvino --costs costs.json --model-repo /srv/models
    """
    from omnivec2.model_config import model_directories

    with one_line_errors():
        console = make_console(stderr=True)
        update_repository(console, checkpoint, model_repo, layout)
        if backend is not None or costs is not None:
            _set_triton_options(console, checkpoint, model_repo, backend, costs)
        typer.echo(f"{len(model_directories(model_repo))} models in {model_repo}")


def _set_triton_options(
    console: Console,
    checkpoint: Path,
    repository: Path,
    backend: Backend | None,
    costs: Path | None,
) -> None:
    """Write the configurations of a repository for another backend, or by measured costs.

    Raises:
        OmniVecError: The costs cannot be read or measured; the repository is as it was.
    """
    from export.exported_checkpoint import read_exported_checkpoint
    from export.repository.assembly import assemble as write_repository
    from export.repository.assembly import read_record
    from export.repository.cost_measurement import measure_costs, write_cost_table
    from export.repository.layouts import Layout, plan
    from export.repository.triton_options import TritonOptions, read_cost_table

    record = read_record(repository)
    chosen = backend or record.triton.backend
    table = None
    if costs is not None and not costs.exists():
        models = plan(read_exported_checkpoint(checkpoint), record.layout or Layout.SHARED)
        with console.status(f"measuring {len(models)} models with {chosen}"):
            write_cost_table(measure_costs(models, repository, chosen), costs)
    if costs is not None:
        table = read_cost_table(costs)
        if table.engine != chosen:
            raise ArtifactError(f"{costs}: was measured with {table.engine}, not {chosen}")
    write_repository(checkpoint, repository, None, TritonOptions(backend=chosen, costs=table))


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
