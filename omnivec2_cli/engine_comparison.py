"""The metrics of an engine beside those of the reference, with the difference in points."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from omnivec2.atomic_files import write_file
from omnivec2.errors import OmniVecError
from omnivec2.training.evaluation.metrics.head_result import HeadResult

MOST_POINTS_LOST = 0.5
"""The loss of any public metric that is still called none."""


@dataclass(frozen=True)
class ComparedMetric:
    """One metric of a head, in float32 and in an engine.

    Attributes:
        reference: The result through ONNX Runtime in float32.
        engine: The result through the engine, on the same samples.
    """

    reference: HeadResult
    engine: HeadResult

    @property
    def points_lost(self) -> float:
        """How much worse the engine is, negative if it is better.

        A point is 0.01 of a score, and 1 % of the reference's value of an error.
        """
        difference = self.engine.value - self.reference.value
        if self.reference.higher_is_better:
            return -100 * difference
        return 100 * difference / max(abs(self.reference.value), 1e-12)

    @property
    def is_kept(self) -> bool:
        """Whether the metric is as good as in float32; no number is a loss."""
        return self.points_lost <= MOST_POINTS_LOST


def compare_results(
    reference: Sequence[HeadResult], engine: Sequence[HeadResult]
) -> list[ComparedMetric]:
    """Match the results of two evaluations of the same heads on the same samples, in order."""
    pairs = [ComparedMetric(*pair) for pair in zip(reference, engine, strict=True)]
    for pair in pairs:
        measured = [
            (r.route, r.dataset, r.metric, r.samples) for r in (pair.reference, pair.engine)
        ]
        assert measured[0] == measured[1], f"not the same measurement: {measured}"
    return pairs


def comparison_table(compared: Sequence[ComparedMetric], engine: str) -> Table:
    """Render a comparison for the terminal, with losses in red.

    Args:
        compared: The metrics.
        engine: The name and precision of the engine.
    """
    caption = f"points: of {engine} against ONNX Runtime fp32; {MOST_POINTS_LOST:g} may be lost"
    table = Table(caption=caption)
    for column in ("head", "test set", "n", "metric", "fp32", engine, "points"):
        text = column in ("head", "test set", "metric")
        table.add_column(column, justify="left" if text else "right")
    for pair in compared:
        result = pair.reference
        colour = "green" if pair.is_kept else "red"
        table.add_row(
            result.route,
            result.dataset,
            f"{result.samples:,}",
            result.metric,
            f"{result.value:.4f}",
            f"{pair.engine.value:.4f}",
            f"[{colour}]{-pair.points_lost:+.2f}[/]",
        )
    return table


def write_comparison(compared: Sequence[ComparedMetric], engine: str, path: Path) -> None:
    """Write a comparison as JSON."""
    rows = [
        {
            "route": pair.reference.route,
            "dataset": pair.reference.dataset,
            "samples": pair.reference.samples,
            "metric": pair.reference.metric,
            "reference": pair.reference.value,
            "value": pair.engine.value,
            "points": -pair.points_lost,
        }
        for pair in compared
    ]
    document = {"engine": engine, "results": rows}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, (json.dumps(document, indent=2) + "\n").encode())


def require_kept(compared: Sequence[ComparedMetric], engine: str) -> None:
    """Check that an engine loses no metric.

    Raises:
        OmniVecError: It does; the message names the heads.
    """
    if lost := [pair for pair in compared if not pair.is_kept]:
        names = ", ".join(
            f"{pair.reference.route} ({pair.reference.metric} {-pair.points_lost:+.2f})"
            for pair in lost
        )
        raise OmniVecError(f"{engine} loses more than {MOST_POINTS_LOST:g} points: {names}")
