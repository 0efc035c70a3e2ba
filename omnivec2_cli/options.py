"""Options and defaults that several commands have in common."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer
from pydantic import JsonValue

from omnivec2.errors import InputError

DEFAULT_CHECKPOINT = Path("checkpoints/reference")
DEFAULT_REPOSITORY = Path("model_repo")
DEFAULT_WHOLE_GRAPHS = Path(".cache/evaluated")
DEFAULT_RUN = Path("runs/reference")
DATA_PLACES = (Path("data"), Path("../shared/data"))
"""Where data sets are looked for unless OMNIVEC2_DATA or --data says otherwise."""

CheckpointOption = Annotated[
    Path, typer.Option("--checkpoint", "-c", help="Checkpoint directory.", show_default=True)
]
RepositoryOption = Annotated[
    Path,
    typer.Option("--model-repo", help="Model repository; it is written from the checkpoint."),
]
WholeGraphsOption = Annotated[
    Path,
    typer.Option(
        "--model-repo",
        help="Model repository of whole graphs; it is written from the checkpoint.",
    ),
]
ServedRepositoryOption = Annotated[
    Path, typer.Option("--model-repo", help="The model repository that is being served.")
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
TritonOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="HOST:PORT",
        help="Triton server of this repository, in explicit model control mode, or a host "
        "name that resolves to several (repeatable).",
    ),
]
LayoutOption = Annotated[
    Literal["fused", "shared"] | None,
    typer.Option(
        help="fused has a copy of the trunk per head, shared one for all.  "
        "[default: the repository's, or shared]"
    ),
]
HeadArgument = Annotated[
    str, typer.Argument(metavar="HEAD", help="modality/task, e.g. image/classification.")
]
HeadsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="HEAD", help="Heads, e.g. image/classification. Default: all."),
]
RecipeArgument = Annotated[
    str, typer.Argument(help="Name of a recipe that ships, or path of a YAML file.")
]
RunOption = Annotated[
    Path, typer.Option(help="Directory of the run's state; train resumes from it.")
]
DeviceOption = Annotated[
    Literal["auto", "cpu", "cuda"],
    typer.Option(help="Where to compute; auto takes a GPU if there is one."),
]
SplitOption = Annotated[
    str, typer.Option(help="Part of the data to measure on; use test for final figures only.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print as JSON.")]
JsonFileOption = Annotated[
    Path | None, typer.Option("--json", help="Write the figures to this file as well.")
]
ParametersOption = Annotated[
    str, typer.Option("--parameters", "-p", help="Request parameters as JSON.")
]
StrictOption = Annotated[
    bool, typer.Option("--strict", help="Fail if a part of a file was guessed or left out.")
]


def parse_parameters(text: str) -> dict[str, JsonValue]:
    """Parse the value of ``--parameters``.

    Raises:
        InputError: The value is not a JSON object.
    """
    try:
        value = json.loads(text)
    except ValueError as error:
        raise InputError(f"--parameters is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise InputError('--parameters: expected an object, e.g. {"top_k": 3}')
    return value
