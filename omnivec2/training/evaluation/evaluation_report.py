"""Evaluation results as a terminal table, as JSON and as the table of the model card."""

from __future__ import annotations

import datetime
import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from pydantic import JsonValue
from rich.table import Table

from omnivec2.engines.hardware_name import processor_name
from omnivec2.spec import HeadSpec
from omnivec2.training.evaluation.fusion_gap_table import Gap
from omnivec2.training.evaluation.metrics.head_result import HeadResult
from omnivec2.training.evaluation.simple_models import LINEAR, TRIVIAL

_PACKAGES = ("numpy", "onnxruntime", "scikit-learn")


def results_table(results: Iterable[HeadResult]) -> Table:
    """Render results for the terminal, with losses against the best simple model in red."""
    table = Table(caption="gain: over the better of the simple models on the same arrays")
    for column in ("head", "test set", "n", "metric", "majority/mean", "linear", "ours", "gain"):
        text = column in ("head", "test set", "metric")
        table.add_column(column, justify="left" if text else "right")
    for result in results:
        colour = "green" if (result.gain or 0.0) > 0 else "red"
        table.add_row(
            result.route,
            result.dataset,
            f"{result.samples:,}",
            result.metric,
            *_simple(result),
            f"{result.value:.3f}",
            f"[{colour}]{result.gain_text}[/]",
        )
    return table


def _simple(result: HeadResult) -> tuple[str, str]:
    """Return the cells of the two simple models; for embeddings the second is on raw arrays.

    Summarization has neither, but several extractive baselines, which are named.
    """
    trivial = result.baselines.get(TRIVIAL)
    others = {name: value for name, value in result.baselines.items() if name != TRIVIAL}
    named = len(others) > 1
    return (
        "" if trivial is None else f"{trivial:.3f}",
        ", ".join(f"{name} {v:.3f}" if named else f"{v:.3f}" for name, v in others.items()),
    )


def write_json(results: Sequence[HeadResult], path: Path, gaps: Sequence[Gap] = ()) -> None:
    """Write results and gaps with the date, hardware and versions of their measurement."""
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **environment(*(["torch"] if gaps else [])),  # gaps are not measured on exported graphs
        "results": [asdict(result) | {"gain": result.gain} for result in results],
        "gaps": [gap.as_json() for gap in gaps],
    }
    path.write_text(json.dumps(document, indent=2) + "\n")


def environment(*packages: str) -> dict[str, JsonValue]:
    """Return the hardware and the versions that a measurement depends on.

    Args:
        packages: The packages whose versions are listed besides the usual ones.
    """
    return {
        "hardware": f"{processor_name()}, {os.cpu_count()} cores",
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in (*_PACKAGES, *packages)},
        },
    }


def model_card_table(results: Iterable[HeadResult], specs: Iterable[HeadSpec]) -> str:
    """Render the table of docs/model-card.md: results, data and licences of every head."""
    by_route = {spec.route: spec for spec in specs}
    lines = [
        "| head | test set | n | metric | majority/mean | linear | ours | gain | data (licence) |",
        "| --- | --- | ---: | --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for result in results:
        data = "; ".join(f"{s.name} ({s.licence})" for s in by_route[result.route].data)
        trivial, linear = _simple(result)
        cells = (
            f"`{result.route}`",
            result.dataset,
            f"{result.samples:,}",
            result.metric,
            trivial,
            linear,
            f"**{result.value:.3f}**",
            result.gain_text,
            data,
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


__all__ = ["LINEAR", "TRIVIAL", "environment", "model_card_table", "results_table", "write_json"]
