"""Tables of measured figures, made from the JSON files of runs in this directory."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from omnivec2.training.ablation.ablation_table import Cells
from omnivec2.training.evaluation.fusion_gap_table import HEADER, Gap, describe_averages
from omnivec2.training.evaluation.quality_metrics import METRICS

DOCS = Path(__file__).resolve().parent
ADAPTATION = DOCS / "adaptation.json"
SMALL_DATA = DOCS / "small-data.json"
ALIGNMENT = DOCS / "alignment.json"
ABLATION = DOCS / "ablation.json"
GAPS = DOCS / "gap.json"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Format a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    cells = [" | ".join(cell.replace("|", "\\|") for cell in line) for line in lines]
    return "\n".join(f"| {line} |" for line in cells)


def number(value: float) -> str:
    """Format a number with four digits."""
    return f"{value:.4g}"


def adaptation() -> str:
    """Return a table of heads fitted to a tenth of the labels, beside linear models."""
    results = sorted(json.loads(ADAPTATION.read_text()), key=lambda result: result["route"])
    rows = [
        [
            f"`{r['route']}`",
            r["dataset"],
            f"{r['labelled']:,}",
            f"{r['samples']:,}",
            r["metric"] + ("" if METRICS[r["metric"]].higher_is_better else " (lower is better)"),
            *(number(value) for value in r["baselines"].values()),
            f"**{number(r['value'])}**",
            f"{r['gain']:+.3g}",
            f"{r['seconds']['cpu']:.0f}",
        ]
        for r in results
    ]
    header = ["head", "test set", "labels", "samples", "metric", "majority/mean", "linear", "ours",
              "gain", "CPU s"]  # fmt: skip
    conditions = dict.fromkeys(
        f"{r['created'][:10]}, {r['hardware']}, {r['threads']} thread(s), seed {r['seed']}, "
        f"checkpoint {r['base'][:12]}, "
        + ", ".join(f"{name} {release}" for name, release in r["versions"].items())
        for r in results
    )
    return table(header, rows) + "\n\nMeasured: " + "; ".join(conditions) + "."


def small_data() -> str:
    """Return a table of heads for small data sets, beside logistic regressions."""
    report = json.loads(SMALL_DATA.read_text())
    rows = [
        [
            f"`{r['route']}`",
            f"{r['labelled']:,}",
            f"{r['samples']:,}",
            f"{r['classes']}",
            number(r["logistic"]),
            f"**{number(r['value'])}**",
            f"{r['cpu_seconds']:.0f}",
            r["chosen"],
        ]
        for r in report["results"]
    ]
    header = ["head", "labels", "test", "classes", "logistic regression", "ours", "CPU s",
              "chosen"]  # fmt: skip
    versions = ", ".join(f"{name} {release}" for name, release in report["versions"].items())
    conditions = f"{report['created']}, {report['hardware']}, {versions}"
    return f"{table(header, rows)}\n\nMeasured: {conditions}."


def alignment() -> str:
    """Return tables of recall between two modalities, and of zero-shot classification."""
    figures = json.loads(ALIGNMENT.read_text())
    ranks = sorted({int(k) for row in figures["found"] for k in row["recall"]})
    found = table(
        [
            "queries from",
            "candidates from",
            "queries",
            "candidates",
            *(f"recall@{k}" for k in ranks),
        ],
        [
            [
                *(f"`{row[key]}`" for key in ("asked", "found")),
                *(f"{row[key]:,}" for key in ("queries", "candidates")),
                *(f"{row['recall'][str(k)]:.3f} ({row['chance'][str(k)]:.3f})" for k in ranks),
            ]
            for row in figures["found"]
        ],
    )
    names = table(
        ["modality", "recordings", "names", "accuracy", "chance"],
        [
            [
                f"`{row['modality']}`",
                f"{row['queries']:,}",
                str(row["classes"]),
                f"{row['accuracy']:.3f}",
                f"{row['chance']:.3f}",
            ]
            for row in figures["zero_shot"]
        ],
    )
    return f"{found}\n\n{names}\n\n{_measured(figures)}"


def ablations() -> str:
    """Return a table of mean and deviation over the seeds: a row per variant, a column per task."""
    cells = Cells(ABLATION)
    metrics = {cell.route: cell.metric for cell in cells.measured}
    header = ["modalities", "tokenizers", "heads",
              *(f"`{route}` ({metrics[route]})" for route in cells.routes)]  # fmt: skip
    return f"{table(header, cells.lines())}\n\n{_measured(json.loads(ABLATION.read_text()))}"


def gaps() -> str:
    """Return a table of heads without and with cross-attention, at the end of stage 3."""
    document = json.loads(GAPS.read_text())
    derived = ("difference", "unit")
    found = [
        Gap(**{key: value for key, value in gap.items() if key not in derived})
        for gap in document["gaps"]
    ]
    rows = table(HEADER, (gap.cells() for gap in found))
    return f"{rows}\n\nAverage of {describe_averages(found)}. {_measured(document)}"


def _measured(document: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {release}" for name, release in document["versions"].items())
    return f"Measured: {document['created'][:10]}, {document['hardware']}, {versions}."
