"""Tables of a measurement of all heads: for the terminal, for documents, and as a page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from rich.table import Table

from omnivec2.training.evaluation.record.results_file import Figure, FigureKind, ResultsFile

HEADER = (
    "head", "measured on", "n", "metric", "value", "95 % interval", "simple models", "gain", "ECE",
)  # fmt: skip

_KINDS = {
    FigureKind.TEST: "Heads as they ship, on public test parts",
    FigureKind.FIVE_FOLD: "Small data sets in five folds, heads refitted on frozen features",
    FigureKind.UNSEEN: "Embeddings on data that nothing was trained on",
}


def cells(figure: Figure) -> list[str]:
    """Return the cells of a figure, in the order of ``HEADER``."""
    direction = "" if figure.higher_is_better else " (lower is better)"
    gain = "" if figure.gain is None else f"{figure.gain:+.3g}"
    return [
        figure.route,
        figure.dataset,
        f"{figure.samples:,}",
        figure.metric + direction,
        number(figure.value),
        interval(figure),
        ", ".join(f"{name} {number(value)}" for name, value in figure.simple.items()),
        f"{gain} (within noise)" if figure.is_within_noise else gain,
        "" if figure.ece is None else f"{figure.ece:.3f}",
    ]


def number(value: float) -> str:
    """Format a number with four digits."""
    return f"{value:.4g}"


def interval(figure: Figure) -> str:
    """Format the ends of an interval; nothing if there is none."""
    if figure.low is None or figure.high is None:
        return ""
    return f"{number(figure.low)} to {number(figure.high)}"


def terminal_table(figures: Iterable[Figure], published: dict[str, str]) -> Table:
    """Render figures for the terminal; gains in green, losses in red.

    Args:
        figures: The figures.
        published: The figures that others have reached, by route.
    """
    table = Table(caption="gain: over the best simple model; intervals: percentile bootstrap")
    right = {"n", "value", "gain", "ECE"}
    for column in (*HEADER, "published"):
        table.add_column(column, justify="right" if column in right else "left")
    for figure in figures:
        row = cells(figure)
        colour = "green" if (figure.gain or 0.0) > 0 else "red"
        row[7] = f"[{colour}]{row[7]}[/]"
        is_test = figure.kind is FigureKind.TEST
        table.add_row(*row, published.get(figure.route, "") if is_test else "")
    return table


def markdown(results: ResultsFile, published: dict[str, str]) -> str:
    """Render results as a document of tables, one for each kind of figure."""
    parts = [f"# Figures of {results.model}", "", conditions(results), ""]
    for title, header, rows in _sections(results, published):
        lines = [header, ["---"] * len(header), *rows]
        parts += [f"## {title}", ""]
        parts += [
            f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in lines
        ]
        parts.append("")
    return "\n".join(parts)


def html(results: ResultsFile, published: dict[str, str]) -> str:
    """Render results as a page of tables, which needs no other files."""
    parts = [
        "<!doctype html><meta charset=utf-8>",
        f"<title>Figures of {escape(results.model)}</title>",
        "<style>body{font:14px sans-serif}table{border-collapse:collapse}"
        "td,th{border:1px solid #ccc;padding:2px 6px;text-align:left}</style>",
        f"<h1>Figures of {escape(results.model)}</h1><p>{escape(conditions(results))}</p>",
    ]
    for title, header, rows in _sections(results, published):
        parts.append(f"<h2>{escape(title)}</h2><table><tr>")
        parts += [f"<th>{escape(cell)}</th>" for cell in header]
        for row in rows:
            parts.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row))
        parts.append("</table>")
    return "\n".join(parts) + "\n"


def conditions(results: ResultsFile) -> str:
    """Return the sentence of what the figures were measured with."""
    versions = ", ".join(f"{name} {release}" for name, release in results.versions.items())
    return (
        f"Measured: {results.created[:10]}, {results.hardware}, engine {results.engine}, "
        f"checkpoint {results.checkpoint[:12]}, {versions}."
    )


def write_tables(results: ResultsFile, published: dict[str, str], folder: Path) -> list[Path]:
    """Write the Markdown and the HTML tables beside the results, and return the files."""
    files = []
    for suffix, render in ((".md", markdown), (".html", html)):
        file = folder / f"{results.name}{suffix}"
        file.write_text(render(results, published), encoding="utf-8")
        files.append(file)
    return files


def _sections(
    results: ResultsFile, published: dict[str, str]
) -> Iterable[tuple[str, list[str], Sequence[list[str]]]]:
    """Yield title, header and rows of the table of every kind of figure."""
    for kind, title in _KINDS.items():
        figures = [figure for figure in results.figures if figure.kind is kind]
        if not figures:
            continue
        if kind is FigureKind.TEST:
            rows = [[*cells(one), published.get(one.route, "")] for one in figures]
            yield title, [*HEADER, "published"], rows
        else:
            yield title, list(HEADER), [cells(one) for one in figures]
