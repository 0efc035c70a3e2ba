"""What answers the inputs of a command: a network in this process, or a running service."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from omnivec2.terminal import make_console
from omnivec2_cli.commands.assemble import update_repository

if TYPE_CHECKING:
    from omnivec2_api.predictor import Predictor

ServerOption = Annotated[
    str | None,
    typer.Option(
        "--server",
        "--url",
        metavar="URL",
        help="Ask this running service; no model is loaded here.",
    ),
]
ApiKeyOption = Annotated[
    str | None,
    typer.Option("--api-key", envvar="OMNIVEC2_API_KEY", help="API key of that service."),
]


def open_predictor(
    server: str | None,
    api_key: str | None,
    routes: Sequence[str],
    checkpoint: Path,
    model_repo: Path,
) -> Predictor:
    """Return a client of a service, or load heads into this process.

    Args:
        server: The address of the service; None to load the heads.
        api_key: The API key of the service.
        routes: The names of the heads.
        checkpoint: The directory of the exported checkpoint.
        model_repo: The directory of its model repository.

    Raises:
        OmniVecError: The heads cannot be loaded.
    """
    if server is not None:
        from omnivec2_api.client import Client

        return Client(server, api_key=api_key)
    from omnivec2_api.local_model import open_repository

    console = make_console(stderr=True)
    update_repository(console, checkpoint, model_repo)
    with console.status("loading the models"):
        return open_repository(model_repo, only=tuple(routes))
