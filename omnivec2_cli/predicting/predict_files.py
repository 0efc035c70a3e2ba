"""Predictions for folders and patterns: a row for each file, as a table or as JSON."""

from __future__ import annotations

import glob
import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.table import Table

from omnivec2.errors import OmniVecError
from omnivec2_cli.errors import EXIT_SOME_FAILED
from omnivec2_cli.tables import brief

if TYPE_CHECKING:
    from omnivec2_api.answers.answer import Answer
    from omnivec2_api.head_info import HeadInfo
    from omnivec2_api.predictor import Predictor

_SHORT = frozenset({"string", "int64", "float64"})
"""Types of columns that fit in a cell; others are shown only if a head has none of these."""


def are_folders(names: Sequence[str]) -> bool:
    """Whether a folder or a pattern is among the names, so that there may be many files."""
    return any(
        Path(name).is_dir() or (glob.has_magic(name) and not Path(name).exists()) for name in names
    )


def predict_files(
    predictor: Predictor,
    route: str,
    names: Sequence[str],
    parameters: Mapping[str, Any],
    console: Console | None,
    *,
    strict: bool,
) -> None:
    """Print the answers to all files that folders, patterns and paths name.

    Args:
        predictor: The network or the client that answers.
        route: The name of the head.
        names: The folders, patterns and files.
        parameters: The parameters of the request.
        console: The console for a table; None prints JSON, a list with an object per file.
        strict: Whether notes on a file are errors.

    Raises:
        OmniVecError: There is no such head, or there are no files.
        typer.Exit: A file has no answer.
    """
    from omnivec2_api.batch.batch_run import find_heads
    from omnivec2_api.batch.file_source import find_files

    (head,) = find_heads(predictor, [route])
    source = find_files(head.modality, names)
    items = list(source)
    with closing(
        predictor.predict_batch(
            route,
            [item.value for item in items],
            progress=True,
            return_exceptions=True,
            strict=strict,
            **parameters,
        )
    ) as answers:
        pairs = list(zip(source.paths, answers, strict=True))
    if console is None:
        typer.echo(json.dumps([_as_json(*pair) for pair in pairs], ensure_ascii=False, indent=1))
    else:
        console.print(_table(head, pairs))
    if any(isinstance(answer, OmniVecError) for _, answer in pairs):
        raise typer.Exit(EXIT_SOME_FAILED)


def _as_json(path: str, answer: Answer | OmniVecError) -> dict[str, Any]:
    if isinstance(answer, OmniVecError):
        return {"path": path, "error": str(answer)}
    notes = [note.to_json() for note in answer.notes]
    return {"path": path, "answer": answer.value, **({"notes": notes} if notes else {})}


def _table(head: HeadInfo, pairs: Sequence[tuple[str, Answer | OmniVecError]]) -> Table:
    from omnivec2_api.batch.columns import AnswerColumns

    columns = AnswerColumns((head,))
    short = [name for name, kind in columns.types.items() if kind in _SHORT] or list(columns.types)
    table = Table(title=head.route)
    failed = any(isinstance(answer, OmniVecError) for _, answer in pairs)
    for name in ("path", *short, "notes", *(["error"] if failed else [])):
        table.add_column(name)
    for path, answer in pairs:
        if isinstance(answer, OmniVecError):
            table.add_row(path, *("" for _ in short), "", brief(str(answer)))
            continue
        notes = ", ".join(dict.fromkeys(note.code for note in answer.notes))
        for row in columns.rows({head.task: answer}):
            table.add_row(path, *(brief(row.get(name)) for name in short), notes)
    return table
