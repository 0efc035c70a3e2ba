"""``omnivec2 align``: put several modalities into one embedding space."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from omnivec2.errors import InvalidParameterError
from omnivec2.spec import Modality
from omnivec2.terminal import make_console
from omnivec2_cli.errors import needs_extra, one_line_errors
from omnivec2_cli.options import DEFAULT_CHECKPOINT, CheckpointOption, DataOption, JsonFileOption


def align(
    data: DataOption,
    name: Annotated[
        str,
        typer.Argument(metavar="DATA SET|TABLE", help="Name of a data set, or a table of pairs."),
    ] = "utd-mhad",
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODALITY=COLUMN",
            help="Column of a table of pairs with the inputs, or their paths; give two.",
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            help="Folder that a table's paths are relative to.  [default: the table's own]"
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Column of a table that says train or test."),
    ] = None,
    task: Annotated[
        str, typer.Option(help="Task name of the new heads: each is named MODALITY/TASK.")
    ] = "retrieval",
    checkpoint: CheckpointOption = DEFAULT_CHECKPOINT,
    out: Annotated[Path, typer.Option(help="Checkpoint to write.")] = Path("checkpoints/aligned"),
    run: Annotated[
        Path, typer.Option(help="Directory where features are cached for the next run.")
    ] = Path("runs/align"),
    steps: Annotated[int, typer.Option(min=1, help="Number of optimizer steps.")] = 800,
    tokenizer_steps: Annotated[
        int, typer.Option(min=1, help="Steps for a tokenizer, where a modality needs its own.")
    ] = 600,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
    json_file: JsonFileOption = None,
) -> None:
    """Freeze the network, and fit heads that embed inputs of several modalities into one space.

    The inputs are recordings with the names of what they show, or the pairs of a table.

    Inputs with the same meaning get similar vectors, whichever sensor recorded them. This allows
    searching one modality with another, and classifying by the names of classes alone. The
    checkpoint that is written is ready for `omnivec2 export` and `omnivec2 head add`.

    Examples:

        omnivec2 align utd-mhad --data /data

        omnivec2 align utd-mhad --data /data --out checkpoints/aligned --json aligned.json

        omnivec2 align captions.csv --column text=caption --column video=clip --split part
    """
    console = make_console()
    with one_line_errors(), needs_extra("train"):
        from omnivec2.training.alignment.alignment_request import AlignRequest
        from omnivec2.training.alignment.alignment_run import align as run_alignment
        from omnivec2.training.alignment.alignment_run import write_json
        from omnivec2.training.alignment.paired_recordings import load_aligned
        from omnivec2.training.alignment.paired_tables import PairedTable, load_pairs
        from omnivec2.training.alignment.retrieval_metrics import recall_table, zero_shot_table
        from omnivec2.training.data import DEFAULT_CACHE
        from omnivec2.training.data.base import DataDirectories

        if column:
            columns = _columns_of(column)
            own = folder or Path(name).parent
            table = PairedTable(Path(name), columns, own, split=split, seed=seed)
            console.print(f"reading {name}", markup=False)
            aligned = load_pairs(table, checkpoint)
        else:
            aligned = load_aligned(name, DataDirectories(data, DEFAULT_CACHE))
        request = AlignRequest(
            aligned, checkpoint, run, out,
            task=task, steps=steps, tokenizer_steps=tokenizer_steps, seed=seed,
        )  # fmt: skip
        result = run_alignment(request, console)
        thing = "action" if aligned.names else "pair"
        title = f"{aligned.test_name}: recall of the same {thing} (chance level in brackets)"
        console.print(recall_table(title, result.recalls))
        if result.zero_shot:
            console.print(zero_shot_table(result.zero_shot))
        console.print(f"wrote {out}", markup=False)
        if json_file is not None:
            write_json(result, json_file)


def _columns_of(options: list[str]) -> dict[Modality, str]:
    """Return the column of each modality.

    Raises:
        InvalidParameterError: An option is not of the form MODALITY=COLUMN.
    """
    columns = {}
    for option in options:
        modality, _, name = option.partition("=")
        if modality not in set(Modality) or not name:
            raise InvalidParameterError(
                f"--column {option}: expected MODALITY=COLUMN with one of {', '.join(Modality)}"
            )
        columns[Modality(modality)] = name
    return columns
