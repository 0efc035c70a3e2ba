"""One command for everything: ``omnivec2 serve | predict | models | train | evaluate | export``.

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

from omnivec2.cli_support import needs_extra, one_line_errors, parse_parameters, read_input
from omnivec2.cli_tables import deployed_table, heads_table, print_answers
from omnivec2.terminal import make_console

if TYPE_CHECKING:
    from service.gateway import Gateway

DEFAULT_CHECKPOINT = Path("checkpoints/reference")
DEFAULT_REPOSITORY = Path("model_repo")
DATA_PLACES = (Path("data"), Path("../shared/data"))
"""Where data sets are looked for unless OMNIVEC2_DATA or --data says otherwise."""

app = typer.Typer(
    name="omnivec2",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Serve one network that takes any modality and does any task.\n\n"
    "Start with `omnivec2 serve`, or `omnivec2 predict image/classification cat.jpg`.",
)

heads_app = typer.Typer(
    no_args_is_help=True, help="Add heads to a running deployment, remove them, list them."
)
app.add_typer(heads_app, name="head")

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


@app.command()
def serve(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on.  [default: 127.0.0.1]")
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Port; 0 takes a free one.  [default: 8080]")
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
    from service.serve import serve as run
    from service.settings import Settings

    console = make_console(stderr=True)
    given = {
        "host": host,
        "port": port,
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
            _assemble(console, checkpoint, settings.model_repo, layout)
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
    from service.oneshot import NamedFile, predict_here, predict_there
    from service.settings import Settings

    with one_line_errors():
        options = parse_parameters(parameters)
        inputs = [NamedFile(name, read_input(name)) for name in files]
        if url is not None:
            timeout = Settings().request_timeout_seconds
            answer = predict_there(url, route, inputs, options, timeout)
        else:
            _assemble(make_console(stderr=True), checkpoint, model_repo)
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
def train(
    data: DataOption,
    recipe: Annotated[str, typer.Argument(help="Name of a recipe, or a YAML file.")] = "reference",
    run: Annotated[Path, typer.Option(help="State of the run; resumed if it exists.")] = Path(
        "runs/reference"
    ),
    checkpoint: CheckpointOption = DEFAULT_CHECKPOINT,
    stop_after: Annotated[
        int | None, typer.Option(min=1, help="Stop at this step; run again to go on.")
    ] = None,
) -> None:
    """Train a network by a recipe; a run that was stopped goes on where it was.

    Examples:
        omnivec2 train reference --data /data --run runs/first --checkpoint checkpoints/first

        omnivec2 train my-recipe.yaml --data /data --stop-after 100
    """
    with one_line_errors(), needs_extra("train"):
        from omnivec2.training.recipe import load_recipe
        from omnivec2.training.run import Paths
        from omnivec2.training.run import train as run_training

        paths = Paths(data=data, run=run, checkpoint=checkpoint)
        run_training(load_recipe(recipe), paths, stop_after_steps=stop_after)


@app.command()
def evaluate(
    data: DataOption,
    routes: RoutesArgument = None,
    checkpoint: CheckpointOption = DEFAULT_CHECKPOINT,
    model_repo: Annotated[
        Path, typer.Option(help="Model repository of whole graphs; made from the checkpoint.")
    ] = Path(".cache/evaluated"),
    split: Annotated[str, typer.Option(help="test is for final figures only.")] = "test",
    most_samples: Annotated[
        int | None, typer.Option(min=1, help="Measure on so many, for a quick look.")
    ] = None,
    save: Annotated[
        bool, typer.Option("--save", help="Write the figures into the checkpoint's head specs.")
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the figures to this file as well.")
    ] = None,
) -> None:
    """Measure heads through their exported graphs, beside simple models on the same arrays.

    Examples:
        omnivec2 evaluate --data /data

        omnivec2 evaluate image/classification --split val --most-samples 200
    """
    console = make_console()
    with one_line_errors(), needs_extra("train"):
        from omnivec2.checkpoint import read_checkpoint, write_head
        from omnivec2.training.evaluation import evaluate_checkpoint
        from omnivec2.training.report import results_table, write_json

        # Whole graphs are what figures are measured on; the parts are held to answer alike.
        _assemble(console, checkpoint, model_repo, "fused")
        results = evaluate_checkpoint(
            checkpoint,
            data,
            model_repo,
            only=routes or None,
            split=split,
            most_samples=most_samples,
            console=console,
        )
        console.print(results_table(results))
        if json_file is not None:
            write_json(results, json_file)
        if save:
            measured = {result.route: result.as_metric() for result in results}
            for head in read_checkpoint(checkpoint).heads:
                if metric := measured.get(head.route):
                    write_head(checkpoint, head.model_copy(update={"metrics": (metric,)}))


@app.command()
def export(
    routes: RoutesArgument = None,
    checkpoint: CheckpointOption = DEFAULT_CHECKPOINT,
    layout: LayoutOption = None,
    out: Annotated[
        Path | None, typer.Option(help="Write a Triton model repository of all heads here.")
    ] = None,
    engine: Annotated[
        Literal["onnx", "tensorrt"], typer.Option(help="What will run the repository's models.")
    ] = "onnx",
    precision: Annotated[
        Literal["fp32", "fp16", "bf16"], typer.Option(help="What they compute in.")
    ] = "fp32",
    version_compatible: Annotated[
        bool, typer.Option(help="TensorRT: plans that later releases load too.")
    ] = False,
    timing_cache: Annotated[
        Path | None, typer.Option(help="TensorRT: file that makes the next build quicker.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Export what is up to date too.")] = False,
) -> None:
    """Write ONNX graphs and compare them with PyTorch; a difference fails.

    Graphs go into the checkpoint, whole (`fused`) and in parts (`shared`). With `--out` they
    become a model repository for Triton or `omnivec2 serve`, built for another engine or
    precision if asked for; TensorRT needs the GPU that will serve.

    Examples:
        omnivec2 export

        omnivec2 export image/classification --checkpoint checkpoints/first --force

        omnivec2 export --layout shared --out model_repo

        omnivec2 export --layout fused --engine tensorrt --precision fp16 --out plans
    """
    converted = (engine, precision) != ("onnx", "fp32")
    if converted and out is None:
        raise typer.BadParameter("--engine and --precision are of a repository: give its --out")
    with one_line_errors(), needs_extra("export"):
        from export.build import build_repository, make_target
        from export.layouts import Layout
        from export.repository import assemble
        from export.run import export_checkpoint, require_ok

        target = make_target(
            engine, precision, version_compatible=version_compatible, timing_cache=timing_cache
        )
        layouts = [Layout(layout)] if layout else list(Layout)
        require_ok(export_checkpoint(checkpoint, only=routes or None, layouts=layouts, force=force))
        if out is None:
            return
        if converted:
            models = build_repository(checkpoint, out, Layout(layout or "shared"), target)
        else:
            models = assemble(checkpoint, out, Layout(layout) if layout else None)
        typer.echo(f"{len(models)} models in {out}")


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


def _announce(console: Console) -> Callable[[str, Gateway], None]:
    from service.serve import curl_line

    def announce(address: str, gateway: Gateway) -> None:
        heads = gateway.dataplane.heads
        console.print(f"{len(heads)} heads at [bold]{address}[/bold] (docs: {address}/docs). Try:")
        console.print(curl_line(address, heads), markup=False, soft_wrap=True, highlight=False)

    return announce


def _assemble(
    console: Console, checkpoint: Path, repository: Path, layout: str | None = None
) -> None:
    """Bring the repository up to date; one that came without a checkpoint is used as it is."""
    from export.layouts import Layout
    from export.repository import assemble

    if not checkpoint.exists() and any(repository.glob("*/config.pbtxt")):
        return
    with console.status(f"assembling {repository} from {checkpoint}"):
        assemble(checkpoint, repository, Layout(layout) if layout else None)


def main() -> None:
    """Entry point of the ``omnivec2`` command."""
    app()


if __name__ == "__main__":
    main()
