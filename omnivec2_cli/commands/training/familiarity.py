"""``omnivec2 familiarity``: measure what heads' training data look like to the trunk."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn
from rich.table import Table

from omnivec2.terminal import LoggedProgress, make_console
from omnivec2_cli.commands.assemble import update_repository
from omnivec2_cli.errors import needs_extra, one_line_errors
from omnivec2_cli.options import (
    DEFAULT_CHECKPOINT,
    CheckpointOption,
    DataOption,
    HeadsArgument,
)

_COLUMNS = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())


def familiarity(
    data: DataOption,
    routes: HeadsArgument = None,
    checkpoint: CheckpointOption = DEFAULT_CHECKPOINT,
    model_repo: Annotated[
        Path,
        typer.Option(help="Model repository of parts; it is written from the checkpoint."),
    ] = Path(".cache/evaluated-shared"),
    rows: Annotated[
        int,
        typer.Option(
            min=40,
            help="Training rows to measure at most, and three quarters as many held-out rows.",
        ),
    ] = 400,
    check: Annotated[
        str | None,
        typer.Option(
            help="Write nothing; count the rows of this split that the references find far."
        ),
    ] = None,
) -> None:
    """Measure what heads' training data look like to the trunk, for notes and for drift.

    Writes `training_reference.json` beside each head, from rows of its training part and of its
    validation part. The service then notes inputs that are unlike them (`far_from_training`).

    Examples:

        omnivec2 familiarity --data /data

        omnivec2 familiarity image/classification

        omnivec2 familiarity graph/hiv --rows 200

        omnivec2 familiarity --check test
    """
    with one_line_errors(), needs_extra("train"):
        from omnivec2.familiarity import REFERENCE_FILE, read_training_reference
        from omnivec2.training.familiarity.measure_reference import ReferenceMeasurement

        console = make_console()
        update_repository(console, checkpoint, model_repo, "shared")
        measurement = ReferenceMeasurement(checkpoint, model_repo, data, most_rows=rows)
        table = Table("head", "rows", "held out", "far", "of")
        with LoggedProgress(*_COLUMNS, console=make_console(stderr=True)) as progress:
            for head in measurement.heads(routes):
                bar = progress.add_task(head.route, total=None)

                def advance(done: int, bar: TaskID = bar) -> None:
                    progress.advance(bar, done)

                if check is None:
                    found = measurement.fit(head, advance)
                    far, of = 1 - found.reference.inside, found.reference.held_out
                else:
                    path = checkpoint / "models" / head.name / REFERENCE_FILE
                    known = read_training_reference(path)
                    if known is None:
                        continue
                    found = measurement.count_far(head, known, check, advance)
                    far, of = found.far, found.rows
                reference = found.reference
                table.add_row(
                    head.route, f"{reference.rows:,}", f"{reference.held_out:,}", f"{far:.1%}",
                    f"{of:,}",
                )  # fmt: skip
        console.print(table)
