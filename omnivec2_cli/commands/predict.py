"""``omnivec2 predict``: run a head on files."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from omnivec2.errors import InputError, InvalidParameterError
from omnivec2.terminal import make_console
from omnivec2_cli.commands.assemble import update_repository
from omnivec2_cli.errors import one_line_errors
from omnivec2_cli.options import (
    DEFAULT_CHECKPOINT,
    DEFAULT_REPOSITORY,
    CheckpointOption,
    HeadArgument,
    JsonOption,
    ParametersOption,
    RepositoryOption,
    StrictOption,
    parse_parameters,
)
from omnivec2_cli.predicting.open_predictor import ApiKeyOption, open_predictor
from omnivec2_cli.predicting.part_printer import PartPrinter
from omnivec2_cli.predicting.predict_by_job import predict_by_job
from omnivec2_cli.predicting.predict_files import are_folders, predict_files
from omnivec2_cli.tables import print_answers, print_notes

if TYPE_CHECKING:
    from service.pipeline.answers import FilesAnswer
    from service.pipeline.in_process.named_files import NamedFile


def predict(
    route: HeadArgument,
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE",
            help="Input files; - reads standard input. Of folders and patterns, all files.",
        ),
    ],
    as_json: JsonOption = False,
    parameters: ParametersOption = "{}",
    url: Annotated[
        str | None,
        typer.Option(
            "--url", "--server", help="Ask this running service; no model is loaded here."
        ),
    ] = None,
    api_key: ApiKeyOption = None,
    strict: StrictOption = False,
    stream: Annotated[
        bool,
        typer.Option(
            "--stream",
            help="Show windows of recordings and words of summaries as they come; with --json, "
            "an event per line.",
        ),
    ] = False,
    job: Annotated[
        bool,
        typer.Option(
            "--job",
            help="Let the service answer later, and wait: for inputs that take long, or are larger "
            "than requests may be.",
        ),
    ] = False,
    checkpoint: CheckpointOption = DEFAULT_CHECKPOINT,
    model_repo: RepositoryOption = DEFAULT_REPOSITORY,
) -> None:
    """Run a head on files, in this process or on a running server.

    What was guessed or left out of a file is said on standard error. Of a folder every file gets a
    row; `omnivec2 batch` writes a table of many.

    Examples:

        omnivec2 predict image/classification cat.jpg

        omnivec2 predict image/classification cat.jpg dog.jpg -p '{"top_k": 1}' --json

        echo "a great film" | omnivec2 predict text/sentiment -

        omnivec2 predict image/classification photos/

        omnivec2 predict audio/events rain.ogg --url http://127.0.0.1:8080

        omnivec2 predict text/summarization article.txt --stream

        omnivec2 predict audio/events an-hour.wav --url http://127.0.0.1:8080 --job
    """
    from service.http.gateway_client import predict_by_gateway
    from service.pipeline.in_process.named_files import NamedFile
    from service.pipeline.in_process.predict_in_process import predict_in_process
    from service.settings import Settings

    with one_line_errors():
        options = parse_parameters(parameters)
        if stream and (job or are_folders(files)):
            raise InvalidParameterError("--stream takes files, not folders, patterns or --job")
        if job:
            answer = predict_by_job(url, api_key, route, files, options, strict=strict)
            _print(files, [NamedFile(files[0], b"")], answer, as_json=as_json)
            return
        if are_folders(files):
            console = None if as_json else make_console()
            with open_predictor(url, api_key, [route], checkpoint, model_repo) as predictor:
                predict_files(predictor, route, files, options, console, strict=strict)
            return
        inputs = [NamedFile(name, _read_input(name)) for name in files]
        on_part = PartPrinter(files, as_json=as_json) if stream else None
        if url is not None:
            timeout = Settings().request_timeout_seconds
            answer = predict_by_gateway(
                url,
                route,
                inputs,
                options,
                timeout,
                strict=strict,
                api_key=api_key,
                on_part=on_part,
            )
        else:
            update_repository(make_console(stderr=True), checkpoint, model_repo)
            settings = Settings(model_repo=model_repo)
            answer = predict_in_process(
                settings, route, inputs, options, strict=strict, on_part=on_part
            )
        if on_part is not None:
            on_part.finish()
        if stream and as_json:
            last = {"event": "answer", "answer": answer.value, "notes": answer.notes}
            typer.echo(json.dumps(last, ensure_ascii=False))
        else:
            _print(files, inputs, answer, as_json=as_json)


def _print(
    files: Sequence[str], inputs: Sequence[NamedFile], answer: FilesAnswer, *, as_json: bool
) -> None:
    """Print answers and notes."""
    if as_json:
        typer.echo(json.dumps(answer.value, ensure_ascii=False))
        if answer.notes:
            typer.echo(json.dumps({"notes": answer.notes}, ensure_ascii=False), err=True)
    else:
        print_answers(make_console(), files, answer.value)
        print_notes(make_console(stderr=True), inputs, answer.notes)


def _read_input(name: str) -> bytes:
    """Read a file, or standard input if the name is ``-``.

    Raises:
        InputError: The file cannot be read.
    """
    try:
        return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise InputError(f"{name}: {error.strerror}") from error
