"""Tables that the command line prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue
from rich.console import Console
from rich.table import Table
from rich.text import Text

from omnivec2.spec import HeadSpec

if TYPE_CHECKING:
    from service.pipeline.in_process.named_files import NamedFile
    from service.runtimes.embedded.engine_choice.engine_report import EngineReport

_WIDEST_CELL = 100
_MOST_SEGMENTS = 10

_USAGE_COLUMNS = {
    "requests": 0,
    "refused": 0,
    "compute_seconds": 1,
    "received_bytes": 0,
    "sent_bytes": 0,
}
"""What is shown of a key's usage, and with how many decimals."""


def heads_table(title: str, heads: Sequence[HeadSpec]) -> Table:
    """Return a table with a row per head: family, size, first metric, data and licence."""
    table = Table(title=title)
    for column in ("route", "family", "labels", "metric", "test set", "data and licence"):
        table.add_column(column)
    for head in heads:
        first = head.metrics[0] if head.metrics else None
        table.add_row(
            head.route + (" (experimental)" if head.experimental else ""),
            head.family.value,
            str(len(head.labels) or len(head.targets) or "-"),
            f"{first.name} {first.value:.4g}" if first else "-",
            f"{first.dataset} ({first.samples:,})" if first else "-",
            "; ".join(f"{source.name}: {source.licence}" for source in head.data) or "-",
        )
    return table


def deployed_table(title: str, heads: Sequence[Mapping[str, JsonValue]]) -> Table:
    """Return a table with a row per served head: version, parts, parity, checkpoint."""
    table = Table(title=f"{title}: {len(heads)} heads")
    with_canary = any(head.get("canary") for head in heads)
    columns = ["route", "version", "parts", "precision", "parity", "checkpoint"]
    for column in columns + ["canary"] * with_canary:
        table.add_column(column)
    for head in heads:
        parts = head["parts"]
        named = parts.items() if isinstance(parts, dict) else ()
        table.add_row(
            str(head["route"]),
            str(head["version"]),
            ", ".join(f"{name} {version}" for name, version in named) or "in one piece",
            str(head["precision"]),
            f"{head['max_relative_error']:.0e}",
            str(head["checkpoint"]),
            *[str(head.get("canary") or "-")] * with_canary,
        )
    return table


def keys_table(title: str, keys: Sequence[Mapping[str, JsonValue]]) -> Table:
    """Return a table of API keys and their limits; a dash stands for no limit."""
    table = Table(title=title)
    columns = ["name", "requests_per_second", "burst", "max_concurrent", "expires", "heads"]
    for rare in ("compute_seconds_per_minute", "compute_burst_seconds", "strict"):
        if any(key.get(rare) for key in keys):
            columns.append(rare)
    if any(key.get("priority", "normal") != "normal" for key in keys):
        columns.append("priority")
    for column in columns:
        table.add_column(column.replace("_", " "))
    for key in keys:
        table.add_row(*("-" if key[c] is None else _listed(key[c]) for c in columns))
    return table


def usage_table(title: str, rows: Sequence[Mapping[str, JsonValue]]) -> Table:
    """Return a table of what API keys have used, a row per key."""
    table = Table(title=title)
    for column in ("name", *_USAGE_COLUMNS):
        table.add_column(column.replace("_", " "), justify="left" if column == "name" else "right")
    for row in rows:
        values = (f"{row[column]:,.{digits}f}" for column, digits in _USAGE_COLUMNS.items())
        table.add_row(str(row["name"]), *values)
    return table


def _listed(value: JsonValue) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def print_answers(console: Console, names: Sequence[str], answer: JsonValue) -> None:
    """Print the answer to each input: a table if it is a list of objects, else a line.

    An explained answer is followed by the segments that carried it.
    """
    if isinstance(answer, dict) and answer.keys() == {"answer", "explanations"}:
        print_answers(console, names, answer["answer"])
        _print_explanations(console, names, answer["explanations"])
        return
    answers = answer if len(names) > 1 and isinstance(answer, list) else [answer]
    for name, value in zip(names, answers, strict=False):
        rows = _rows(value)
        if not rows:
            console.print(f"{name}: {brief(value)}", markup=False)
            continue
        console.print(_rows_table(name, rows))


def _print_explanations(console: Console, names: Sequence[str], explanations: Any) -> None:
    """Print the strongest segments of each explanation."""
    for explanation in explanations:
        segments = sorted(explanation["segments"], key=lambda s: -abs(s["value"]))[:_MOST_SEGMENTS]
        row = "" if explanation.get("row") is None else f", row {explanation['row'] + 1}"
        title = f"{names[explanation['input']]}{row}: what carried {explanation['label']}"
        console.print(_rows_table(title, segments, explanation["measure"]))


def _rows_table(
    title: str, rows: Sequence[Mapping[str, JsonValue]], caption: str | None = None
) -> Table:
    """Return a table of a caller's values, in which brackets are brackets and no markup."""
    table = Table(title=Text(title, "table.title"), caption=caption, min_width=len(title))
    columns = list(dict.fromkeys(key for row in rows for key in row))
    for column in columns:
        table.add_column(Text(column))
    for row in rows:
        table.add_row(*(Text(brief(row.get(column))) for column in columns))
    return table


def print_notes(
    console: Console, files: Sequence[NamedFile], notes: Sequence[Mapping[str, JsonValue]]
) -> None:
    """Print a line for each note on the files: which file, the code, what it is about, the text.

    Args:
        console: The console.
        files: The files in the order of the inputs.
        notes: The notes in the form of ``Note.to_json``.
    """
    from service.pipeline.in_process.named_files import message_with_file_name

    for note in notes:
        field = str(note.get("field", ""))
        shown = [note["code"], field, note.get("text", "")]
        line = "note: " + ": ".join(str(part) for part in shown if part)
        message = message_with_file_name(line, field if len(files) > 1 else "inputs[0]", files)
        console.print(message, markup=False, highlight=False, soft_wrap=True)


def _rows(answer: JsonValue) -> list[dict[str, JsonValue]]:
    """Return the objects of an answer, or an empty list if it has another form."""
    if isinstance(answer, list) and len(answer) == 1 and isinstance(answer[0], list):
        answer = answer[0]
    rows = [answer] if isinstance(answer, dict) else answer
    if not isinstance(rows, list):
        return []
    objects = [row for row in rows if isinstance(row, dict)]
    return objects if len(objects) == len(rows) else []


def brief(value: JsonValue) -> str:
    """Format a value in at most one line; a longer one is cut."""
    text = f"{value:.4f}" if isinstance(value, float) else str(value)
    return text if len(text) <= _WIDEST_CELL else f"{text[: _WIDEST_CELL - 3]}..."


def engines_table(report: EngineReport) -> Table:
    """Return a table with a row per engine and precision: speed, accuracy, what it serves."""
    table = Table(title="Engines on this machine")
    for column in ("engine", "ms per sample", "heads that pass", "largest error", "serves"):
        table.add_column(column, justify="left" if column == "engine" else "right")
    for option in report.options:
        heads = option.passed + len(option.rejected)
        table.add_row(
            option.name,
            "-" if option.seconds is None else f"{1000 * option.seconds:.2f}",
            f"{option.passed} of {heads}",
            f"{option.worst[1]:.2f} points ({option.worst[0]})" if option.worst else "-",
            str(option.chosen),
        )
    return table
