"""``omnivec2 align``: one space for several modalities."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from omnivec2.terminal import make_console
from omnivec2_cli.errors import needs_extra, one_line_errors
from omnivec2_cli.options import DEFAULT_CHECKPOINT, CheckpointOption, DataOption


def align(
    data: DataOption,
    name: Annotated[str, typer.Argument(metavar="[DATA SET]", help="What to align.")] = "utd-mhad",
    task: Annotated[str, typer.Option(help="Heads answer at MODALITY/TASK.")] = "retrieval",
    checkpoint: CheckpointOption = DEFAULT_CHECKPOINT,
    out: Annotated[Path, typer.Option(help="Checkpoint to write.")] = Path("checkpoints/aligned"),
    run: Annotated[Path, typer.Option(help="Where features are kept for the next time.")] = Path(
        "runs/align"
    ),
    steps: Annotated[int, typer.Option(min=1, help="Steps of the fitting.")] = 800,
    tokenizer_steps: Annotated[
        int, typer.Option(min=1, help="Steps of a tokenizer of its own, where one is needed.")
    ] = 600,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the figures to this file as well.")
    ] = None,
) -> None:
    """Freeze the network, and fit heads that put recordings and names into one space.

    What means the same gets like vectors, whatever recorded it: search one modality with
    another, or tell classes apart by their names alone. The checkpoint that is written is for
    `omnivec2 export` and `omnivec2 head add`.

    Examples:
        omnivec2 align utd-mhad --data /data

        omnivec2 align utd-mhad --data /data --out checkpoints/aligned --json aligned.json
    """
    console = make_console()
    with one_line_errors(), needs_extra("train"):
        from omnivec2.training.alignment.alignment_run import AlignRequest, write_json
        from omnivec2.training.alignment.alignment_run import align as run_alignment
        from omnivec2.training.alignment.paired_recordings import load_aligned
        from omnivec2.training.alignment.retrieval_metrics import recall_table, zero_shot_table
        from omnivec2.training.data import DEFAULT_CACHE
        from omnivec2.training.data.base import Location

        aligned = load_aligned(name, Location(data, DEFAULT_CACHE))
        request = AlignRequest(
            aligned, checkpoint, run, out,
            task=task, steps=steps, tokenizer_steps=tokenizer_steps, seed=seed,
        )  # fmt: skip
        result = run_alignment(request, console)
        title = f"{aligned.test_name}: recall of the same action, by chance in brackets"
        console.print(recall_table(title, result.found))
        console.print(zero_shot_table(result.zero_shot))
        console.print(f"wrote {out}", markup=False)
        if json_file is not None:
            write_json(result, json_file)
