"""Tables of the newest measurement of all heads of the reference checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from docs.head_tables import reference_specs
from docs.measured import table
from omnivec2.spec import HeadSpec, Metric
from omnivec2.training.evaluation.record.results_file import (
    Figure,
    FigureKind,
    ResultsFile,
    newest_results,
)
from omnivec2.training.evaluation.record.results_tables import HEADER, cells, conditions, number

DOCS = Path(__file__).resolve().parent
RESULTS = DOCS / "evaluations"
PUBLISHED = DOCS / "published.yaml"
MODEL = "reference"

_SPLITS = {FigureKind.UNSEEN: "unseen"}


def results() -> tuple[ResultsFile, ...]:
    """Return the newest results of every head of the reference checkpoint that was measured."""
    return newest_results(RESULTS, MODEL)


def figures() -> str:
    """Return a table of every head on its test part, and one of small sets in five folds."""
    measured = results()
    tests = [f for spec in reference_specs() for f in _of_head(spec, FigureKind.TEST, measured)]
    parts = [_table(tests)]
    folds = _of_kind(FigureKind.FIVE_FOLD, measured)
    if folds:
        parts.append(_table(folds))
    parts += [_conditions(one, len(measured)) for one in measured]
    return "\n\n".join(parts)


def unseen() -> str:
    """Return a table of embeddings on data that nothing was trained on, beside other vectors."""
    measured = results()
    return _table([
        f for spec in reference_specs() for f in _of_head(spec, FigureKind.UNSEEN, measured)
    ])  # fmt: skip


def aims() -> str:
    """Return a table of each head's figure, its aim and a published figure.

    Raises:
        SystemExit: A head has no entry in ``published.yaml``, or a missed aim has no reason
            there.
    """
    known: dict[str, dict[str, Any]] = yaml.safe_load(PUBLISHED.read_text())
    measured = results()
    rows = []
    for spec in reference_specs():
        entry = known.get(spec.route, {})
        for kind, dataset, aim, why in _aims_of(entry):
            found = [
                f for f in _of_head(spec, kind, measured) if dataset is None or f.dataset == dataset
            ]
            published = entry.get("published", "")
            if found:
                rows.append(_aim_row(found[0], aim, why, published))
            else:
                unknown = [f"`{spec.route}`", dataset or kind.value, "", "", number(aim)]
                rows.append([*unknown, published, "not measured yet"])
        if not spec.is_embedding and not {"aim", "published"} <= entry.keys():
            raise SystemExit(
                f"{PUBLISHED}: {spec.route} is served but has no aim, or no published figure"
            )
    header = ["head", "measured on", "metric", "here", "aim", "published", ""]
    return table(header, rows)


def _aims_of(
    entry: dict[str, Any],
) -> Iterable[tuple[FigureKind, str | None, float, str]]:
    """Yield kind, data set, value and reason of every aim of a head."""
    if "aim" in entry:
        kind = FigureKind(entry.get("kind", FigureKind.TEST))
        yield kind, None, entry["aim"], entry.get("why", "")
    for dataset, one in entry.get("unseen", {}).items():
        yield FigureKind.UNSEEN, dataset, one["aim"], one.get("why", "")


def _aim_row(figure: Figure, aim: float, why: str, published: str) -> list[str]:
    gain = figure.value - aim if figure.higher_is_better else aim - figure.value
    if gain >= 0:
        verdict = "reached"
    else:
        low, high = figure.low, figure.high
        inside = low is not None and high is not None and low <= aim <= high
        noise = " (inside the interval)" if inside else ""
        verdict = f"missed by {number(-gain)}{noise}: {why}"
        if not why:
            raise SystemExit(
                f"{PUBLISHED}: {figure.route} missed its aim on {figure.dataset} without a reason"
            )
    row = [f"`{figure.route}`", figure.dataset, figure.metric, f"**{number(figure.value)}**"]
    return [*row, number(aim), published, verdict]


def _table(found: Iterable[Figure]) -> str:
    rows = []
    for figure in found:
        row = cells(figure)
        row[0], row[4] = f"`{row[0]}`", f"**{row[4]}**"
        rows.append(row)
    return table(list(HEADER), rows)


def _conditions(one: ResultsFile, files: int) -> str:
    """Return what figures were measured with, and which heads', if there are several files."""
    if files == 1:
        return conditions(one)
    routes = dict.fromkeys(figure.route for figure in one.figures)
    return f"{', '.join(f'`{route}`' for route in routes)}: {conditions(one)}"


def _of_kind(kind: FigureKind, measured: Sequence[ResultsFile]) -> list[Figure]:
    return [f for spec in reference_specs() for f in _of_head(spec, kind, measured)]


def _of_head(spec: HeadSpec, kind: FigureKind, measured: Sequence[ResultsFile]) -> list[Figure]:
    """Return a head's figures; those of its spec if it is not among the results."""
    for one in measured:
        if one.of_route(spec.route):
            return one.of_route(spec.route, kind)
    split = _SPLITS.get(kind, kind.value)
    return [_figure(spec.route, kind, m) for m in spec.metrics if m.split == split]


def _figure(route: str, kind: FigureKind, metric: Metric) -> Figure:
    return Figure(
        route=route,
        kind=kind,
        dataset=metric.dataset,
        samples=metric.samples,
        metric=metric.name,
        value=metric.value,
        higher_is_better=metric.higher_is_better,
        simple=metric.baselines,
    )
