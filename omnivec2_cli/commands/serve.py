"""``omnivec2 serve``: start the gateway."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console

from omnivec2.errors import InputError
from omnivec2.terminal import make_console
from omnivec2_cli.commands.assemble import update_repository
from omnivec2_cli.errors import one_line_errors
from omnivec2_cli.options import DEFAULT_CHECKPOINT, CheckpointOption, LayoutOption

if TYPE_CHECKING:
    from service.gateway import Gateway
    from service.settings import Settings


def serve(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on.  [default: 127.0.0.1]")
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Port; 0 picks a free one.  [default: 8080]")
    ] = None,
    grpc_port: Annotated[
        int | None,
        typer.Option(help="Port of the gRPC tensor protocol.  [default: not served]"),
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
        typer.Option(
            metavar="HOST:PORT,...",
            help="gRPC addresses of Triton servers, or host names that resolve to several; implies "
            "--runtime triton.",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=0, help="Batches that are computed at the same time.  [default: one per core]"
        ),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            help="auto, openvino, onnxruntime, onnxruntime_gpu, or module:attribute.  "
            "[default: auto, the fastest that answers like the network]"
        ),
    ] = None,
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "int8"] | None,
        typer.Option(help="Precision to compute in.  [default: auto]"),
    ] = None,
    explain_engine: Annotated[
        bool,
        typer.Option(
            "--explain-engine",
            help="Measure every engine on this machine, print speed and accuracy, and exit.",
        ),
    ] = False,
    processes: Annotated[
        int | None,
        typer.Option(min=1, help="Processes on the port, for many cores.  [default: 1]"),
    ] = None,
    log_level: Annotated[
        str | None, typer.Option(help="debug, info, warning or error.  [default: info]")
    ] = None,
) -> None:
    """Serve every head of a checkpoint over HTTP.

    Each of these options, and every other setting of the gateway, can be given as an environment
    variable as well: `OMNIVEC2_PORT=9000 omnivec2 serve` (see docs/access-and-limits.md).

    Examples:

        omnivec2 serve

        omnivec2 serve --port 9000 --only image/classification --only text/sentiment

        omnivec2 serve --explain-engine

        omnivec2 serve --runtime triton --triton 10.0.0.1:8001,10.0.0.2:8001
    """
    from service.server.gateway_process import serve as run

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
        "processes": processes,
        "engine": engine,
        "engine_precision": precision,
        "log_level": log_level,
    }
    with one_line_errors():
        settings = _read_settings({k: v for k, v in given.items() if v is not None})
        if settings.runtime == "triton":
            console.print(f"connecting to Triton at {', '.join(settings.triton_endpoints)} ...")
        else:
            update_repository(console, checkpoint, settings.model_repo, layout)
            if explain_engine:
                _explain_engine(console, settings)
                return
            console.print("loading the models ...")
        run(settings, _announce(console))


def _read_settings(given: dict[str, Any]) -> Settings:
    """Read the settings: what the command line gives, and else the environment.

    Raises:
        InputError: A setting is wrong; the message names each that is.
    """
    from pydantic import ValidationError

    from service.settings import Settings

    try:
        return Settings(**given)
    except ValidationError as error:
        wrong = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise InputError("; ".join(wrong)) from error


def _explain_engine(console: Console, settings: Settings) -> None:
    """Print a table of the engines that can run here, with what they take and err."""
    from omnivec2_cli.tables import engines_table
    from service.runtimes.embedded.engine_choice.engine_report import report_engines

    with console.status("measuring every engine on every head"):
        report = report_engines(settings)
    make_console().print(engines_table(report))
    for name, reason in sorted(report.unavailable.items()):
        console.print(f"{name} is not used: {reason}", markup=False, highlight=False)
    for option in report.options:
        for model, reason in sorted(option.rejected.items()):
            console.print(f"{option.name}, {model}: {reason}", markup=False, highlight=False)


def _announce(console: Console) -> Callable[[str, Gateway], None]:
    """Return the callback that prints where the gateway listens, once it does."""
    from service.server.gateway_process import curl_example

    def announce(address: str, gateway: Gateway) -> None:
        heads = gateway.dataplane.heads
        if gateway.grpc_address:
            console.print(f"gRPC at [bold]{gateway.grpc_address}[/bold]", highlight=False)
        console.print(f"{len(heads)} heads at [bold]{address}[/bold] (docs: {address}/docs). Try:")
        console.print(curl_example(address, heads), markup=False, soft_wrap=True, highlight=False)

    return announce
