"""``omnivec2 batch``: a table of answers to many inputs."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from omnivec2.errors import InputError, OmniVecError
from omnivec2.terminal import make_console
from omnivec2_cli.errors import EXIT_INTERRUPTED, EXIT_SOME_FAILED, one_line_errors
from omnivec2_cli.open_execution import ExecutionPlace, open_execution
from omnivec2_cli.options import (
    DEFAULT_CHECKPOINT,
    DEFAULT_REPOSITORY,
    CheckpointOption,
    JsonOption,
    ParametersOption,
    RepositoryOption,
    StrictOption,
    parse_parameters,
)
from omnivec2_cli.predicting.open_predictor import ApiKeyOption, ServerOption

if TYPE_CHECKING:
    from omnivec2_api.batch.batch_run import BatchSummary
    from omnivec2_api.batch.items import Source

_HEADS = "Heads of one modality, such as image/classification,embedding."


def batch(
    heads: Annotated[str, typer.Argument(metavar="HEAD[,HEAD...]", help=_HEADS)],
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="Folders, patterns and files, here or at s3://; or one table (CSV, JSON Lines, "
            "Parquet); or - for a list on standard input.",
        ),
    ],
    out: Annotated[
        str,
        typer.Option(
            "--out", "-o", metavar="TABLE", help="Table to write: .parquet, .csv or .jsonl."
        ),
    ],
    parameters: ParametersOption = "{}",
    column: Annotated[
        str | None, typer.Option(help="Column of a table that holds the input.")
    ] = None,
    meaning: Annotated[
        Literal["path", "value"] | None,
        typer.Option(
            "--as",
            help="Whether a column, or the lines of a list, are paths of files or the inputs "
            "themselves.  [default: paths; of text and graph, the inputs]",
        ),
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(help="Column of a table to copy to the answers (repeatable)."),
    ] = None,
    include: Annotated[
        str | None,
        typer.Option(
            metavar="PATTERN",
            help="Names of files to take from folders, such as '*.jpg'.  "
            "[default: the types that the modality reads]",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a table that is there.")
    ] = False,
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="Inputs under way at the same time.")
    ] = None,
    server: ServerOption = None,
    api_key: ApiKeyOption = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Answer on the workers of this Ray cluster: HOST:PORT, auto, or local.",
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Most workers on Ray.  [default: as there is room]")
    ] = None,
    worker_cpus: Annotated[
        int | None,
        typer.Option(
            min=1, help="Cores of each worker.  [default: those of the smallest node, up to 8]"
        ),
    ] = None,
    worker_gpus: Annotated[
        float, typer.Option(min=0, help="GPUs of each worker on Ray; may be a fraction.")
    ] = 0.0,
    strict: StrictOption = False,
    as_json: JsonOption = False,
    checkpoint: CheckpointOption = DEFAULT_CHECKPOINT,
    model_repo: RepositoryOption = DEFAULT_REPOSITORY,
) -> None:
    """Write a table of answers to many inputs.

    An input without an answer has a text in the column `error` and stops nothing; what was guessed
    or left out of an input is in `notes`. A run that is interrupted or killed goes on when it is
    started again. The exit status is 3 if some inputs have no answer.

    Examples:

        omnivec2 batch image/classification photos/ --out photos.parquet

        omnivec2 batch image/classification,embedding 'photos/**/*.jpg' --out photos.parquet

        omnivec2 batch text/sentiment reviews.csv --column review --keep id --out answers.csv

        find . -name '*.wav' | omnivec2 batch audio/events - --out sounds.jsonl

        omnivec2 batch image/embedding s3://photos/2026/ --out s3://tables/photos.parquet --ray auto
    """
    with one_line_errors():
        from omnivec2_api.batch.batch_run import BatchOptions, run_execution
        from omnivec2_api.batch.executions import ClusterOptions
        from omnivec2_api.batch.find_source import SourceOptions, find_source
        from omnivec2_api.batch.table_writers import writer_for

        routes = _routes(heads)
        options = BatchOptions(
            parameters=parse_parameters(parameters),
            strict=strict,
            concurrency=concurrency,
            overwrite=overwrite,
        )
        writer_for(out)
        found = SourceOptions(include, column, meaning, tuple(keep or ()))
        source = find_source(routes[0].partition("/")[0], inputs, found, sys.stdin)
        _report_skipped(source)
        cluster = None if ray is None else ClusterOptions(ray, workers, worker_cpus, worker_gpus)
        place = ExecutionPlace(cluster, server, api_key, concurrency, checkpoint, model_repo)
        with open_execution(place, routes) as execution:
            try:
                summary = run_execution(execution, source, out, options)
            except KeyboardInterrupt:
                typer.echo("interrupted; the same command goes on from here", err=True)
                raise typer.Exit(EXIT_INTERRUPTED) from None
            except InputError:
                raise
            except OmniVecError as error:
                raise OmniVecError(f"{error}; the same command goes on from here") from error
        _report(summary, out, as_json=as_json)
    if summary.failed:
        raise typer.Exit(EXIT_SOME_FAILED)


def _routes(heads: str) -> list[str]:
    """Return the names of the heads: the first names the modality, which others may leave out."""
    first, *others = [name.strip() for name in heads.split(",")]
    modality, slash, _ = first.partition("/")
    if not slash or not all([first, *others]):
        raise InputError(f"expected heads such as image/classification,embedding, got {heads!r}")
    return [first, *(name if "/" in name else f"{modality}/{name}" for name in others)]


def _report_skipped(source: Source) -> None:
    if source.skipped.count:
        names = ", ".join(source.skipped.examples)
        typer.echo(
            f"files left out for their type: {source.skipped.count:,} ({names} ...); "
            "--include takes others",
            err=True,
        )


def _report(summary: BatchSummary, out: str, *, as_json: bool) -> None:
    if as_json:
        import json

        typer.echo(json.dumps({**asdict(summary), "out": out}))
        return
    parts = [f"{summary.inputs:,} inputs, {summary.rows:,} rows"]
    if summary.resumed:
        parts.append(f"{summary.resumed:,} of an earlier run")
    parts.append(f"{summary.failed:,} without an answer (see the column error)")
    parts.append(f"{summary.noted:,} with notes")
    speed = f"{summary.seconds:.1f} s, {summary.inputs_per_second:.1f} inputs per second"
    console = make_console()
    console.print(f"{out}: {'; '.join(parts)}", highlight=False, soft_wrap=True, markup=False)
    console.print(speed, highlight=False)
