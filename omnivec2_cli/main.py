"""One command for everything: ``omnivec2 serve | predict | models | head | key | train | ...``.

Heavy packages are imported by the command that needs them, so that ``--help`` is
quick and a serving installation works without torch.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from omnivec2.terminal import make_console
from omnivec2_cli.commands.ablate import ablate
from omnivec2_cli.commands.adapt import adapt
from omnivec2_cli.commands.align import align
from omnivec2_cli.commands.evaluate import engines, evaluate, export, gap, train
from omnivec2_cli.commands.head import heads_app
from omnivec2_cli.commands.key import keys_app
from omnivec2_cli.errors import one_line_errors, parse_parameters, read_input
from omnivec2_cli.options import (
    DEFAULT_CHECKPOINT,
    DEFAULT_REPOSITORY,
    CheckpointOption,
    LayoutOption,
    RepositoryOption,
    assemble_quietly,
)
from omnivec2_cli.tables import heads_table, print_answers

if TYPE_CHECKING:
    from service.gateway import Gateway

app = typer.Typer(
    name="omnivec2",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Serve one network that takes any modality and does any task.\n\n"
    "Start with `omnivec2 serve`, or `omnivec2 predict image/classification cat.jpg`.",
)


@app.command()
def serve(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on.  [default: 127.0.0.1]")
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Port; 0 takes a free one.  [default: 8080]")
    ] = None,
    grpc_port: Annotated[
        int | None, typer.Option(help="Port for gRPC tensors.  [default: not served]")
    ] = None,
    checkpoint: CheckpointOption = DEFAULT_CHECKPOINT,
    model_repo: Annotated[
        Path | None, typer.Option(help="Model repository.  [default: model_repo]")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Load only this head (repeatable).")
    ] = None,
    layout: LayoutOption = None,
    runtime: Annotated[
        Literal["embedded", "triton"] | None,
        typer.Option(help="Where the network runs.  [default: embedded]"),
    ] = None,
    triton: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT,...", help="gRPC addresses; implies --runtime triton."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Batches computed at a time.  [default: one per core]")
    ] = None,
    log_level: Annotated[
        str | None, typer.Option(help="debug, info, warning or error.  [default: info]")
    ] = None,
) -> None:
    """Serve every head of a checkpoint over HTTP.

    Every other setting is an environment variable (see docs/operations.md), and so are
    these: `OMNIVEC2_PORT=9000 omnivec2 serve`.

    Examples:
        omnivec2 serve

        omnivec2 serve --port 9000 --only image/classification --only text/sentiment

        omnivec2 serve --runtime triton --triton 10.0.0.1:8001,10.0.0.2:8001
    """
    from service.server.gateway_process import serve as run
    from service.settings import Settings

    console = make_console(stderr=True)
    given = {
        "host": host,
        "port": port,
        "grpc_port": grpc_port,
        "model_repo": model_repo,
        "only": tuple(only) if only else None,
        "runtime": runtime or ("triton" if triton else None),
        "triton_endpoints": triton,
        "inference_threads": workers,
        "log_level": log_level,
    }
    with one_line_errors():
        settings = Settings(**{k: v for k, v in given.items() if v is not None})  # type: ignore[arg-type]
        if settings.runtime == "triton":
            console.print(f"asking Triton at {', '.join(settings.triton_endpoints)} ...")
        else:
            assemble_quietly(console, checkpoint, settings.model_repo, layout)
            console.print("loading the models ...")
        run(settings, _announce(console))


@app.command()
def predict(
    route: Annotated[str, typer.Argument(help="modality/task, e.g. image/classification.")],
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Inputs; - is stdin.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the response as JSON.")] = False,
    parameters: Annotated[
        str, typer.Option("--parameters", "-p", help="Request parameters as JSON.")
    ] = "{}",
    url: Annotated[
        str | None, typer.Option(help="Ask this running server instead of loading the model.")
    ] = None,
    checkpoint: CheckpointOption = DEFAULT_CHECKPOINT,
    model_repo: RepositoryOption = DEFAULT_REPOSITORY,
) -> None:
    """Answer files, in this process or through a running server.

    Examples:
        omnivec2 predict image/classification cat.jpg

        omnivec2 predict image/classification cat.jpg dog.jpg -p '{"top_k": 1}' --json

        echo "a great film" | omnivec2 predict text/sentiment -

        omnivec2 predict audio/events rain.ogg --url http://127.0.0.1:8080
    """
    from service.pipeline.predict_files import NamedFile, predict_here, predict_there
    from service.settings import Settings

    with one_line_errors():
        options = parse_parameters(parameters)
        inputs = [NamedFile(name, read_input(name)) for name in files]
        if url is not None:
            timeout = Settings().request_timeout_seconds
            answer = predict_there(url, route, inputs, options, timeout)
        else:
            assemble_quietly(make_console(stderr=True), checkpoint, model_repo)
            settings = Settings(model_repo=model_repo)
            answer = predict_here(settings, route, inputs, options)
        if as_json:
            typer.echo(json.dumps(answer, ensure_ascii=False))
        else:
            print_answers(make_console(), files, answer)


@app.command()
def models(
    checkpoint: CheckpointOption = DEFAULT_CHECKPOINT,
    as_json: Annotated[bool, typer.Option("--json", help="Print the head specs as JSON.")] = False,
) -> None:
    """List the heads of a checkpoint: what they do, how good they are, on whose data.

    Examples:
        omnivec2 models

        omnivec2 models --json
    """
    from omnivec2.checkpoint import read_checkpoint

    with one_line_errors():
        heads = read_checkpoint(checkpoint).heads
    if as_json:
        typer.echo(json.dumps([head.model_dump(mode="json") for head in heads]))
        return
    make_console().print(heads_table(f"{checkpoint}: {len(heads)} heads", heads))


@app.command()
def assemble(
    checkpoint: CheckpointOption = DEFAULT_CHECKPOINT,
    model_repo: RepositoryOption = DEFAULT_REPOSITORY,
    layout: LayoutOption = None,
) -> None:
    """Write the model repository of an exported checkpoint for Triton, if it changed.

    Needs neither torch nor a network; models that are up to date are left alone.

    Examples:
        omnivec2 assemble

        omnivec2 assemble --layout fused --model-repo /srv/models
    """
    with one_line_errors():
        assemble_quietly(make_console(stderr=True), checkpoint, model_repo, layout)
        typer.echo(f"{len(list(model_repo.glob('*/config.pbtxt')))} models in {model_repo}")


def _announce(console: Console) -> Callable[[str, Gateway], None]:
    from service.server.gateway_process import curl_line

    def announce(address: str, gateway: Gateway) -> None:
        heads = gateway.dataplane.heads
        if gateway.grpc_address:
            console.print(f"gRPC at [bold]{gateway.grpc_address}[/bold]", highlight=False)
        console.print(f"{len(heads)} heads at [bold]{address}[/bold] (docs: {address}/docs). Try:")
        console.print(curl_line(address, heads), markup=False, soft_wrap=True, highlight=False)

    return announce


for _command in (train, adapt, align, evaluate, gap, ablate, export, engines):
    app.command()(_command)
app.add_typer(heads_app, name="head")
app.add_typer(keys_app, name="key")


def main() -> None:
    """Entry point of the ``omnivec2`` command."""
    app()


if __name__ == "__main__":
    main()
