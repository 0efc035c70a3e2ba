"""Tables of the fusion gap: the change of a head's metric with cross-attention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from pydantic import JsonValue
from rich.table import Table

HEADER = ("head", "split", "n", "metric", "m = 0", "m = 1", "gap")


@dataclass(frozen=True)
class Gap:
    """One head's metric without and with cross-attention.

    Attributes:
        route: The ``<modality>/<task>`` of the head.
        metric: The name of the metric.
        split: The split it was measured on.
        samples: The number of samples.
        off: The value with m = 0, a single stream, as served.
        on: The value with m = 1, next to samples of another modality.
        higher_is_better: Whether a higher value is better.
    """

    route: str
    metric: str
    split: str
    samples: int
    off: float
    on: float
    higher_is_better: bool

    @property
    def difference(self) -> float:
        """The advantage of m = 1: points of a share, or percent of the error at m = 0."""
        if self.higher_is_better:
            return 100 * (self.on - self.off)
        return 0.0 if self.on == self.off else 100 * (self.off - self.on) / self.off

    @property
    def unit(self) -> str:
        """The unit of the difference."""
        return "points" if self.higher_is_better else "%"

    def cells(self) -> tuple[str, ...]:
        """Format a row under :data:`HEADER`."""
        return (
            self.route,
            self.split,
            f"{self.samples:,}",
            self.metric,
            f"{self.off:.4f}",
            f"{self.on:.4f}",
            f"{self.difference:+.2f} {self.unit}",
        )

    def as_json(self) -> dict[str, JsonValue]:
        """Convert to a JSON object."""
        return {**asdict(self), "difference": self.difference, "unit": self.unit}


def describe_averages(gaps: Sequence[Gap]) -> str:
    """Describe the mean gap and its mean absolute value, for shares and for errors."""
    lines = []
    for unit, name in (("points", "shares"), ("%", "errors")):
        if differences := [gap.difference for gap in gaps if gap.unit == unit]:
            lines.append(
                f"{name} ({len(differences)} heads): {np.mean(differences):+.2f} {unit} on "
                f"average, {np.mean(np.abs(differences)):.2f} regardless of sign"
            )
    return "; ".join(lines)


def gaps_table(gaps: Sequence[Gap]) -> Table:
    """Render gaps as a table for the terminal."""
    table = Table(caption=f"gap: the advantage of m = 1. {describe_averages(gaps)}")
    for name in HEADER:
        table.add_column(name, justify="left" if name in ("head", "split", "metric") else "right")
    for gap in gaps:
        table.add_row(*gap.cells())
    return table


def gaps_markdown(gaps: Sequence[Gap]) -> list[str]:
    """Render gaps as lines of Markdown."""
    rule = ("---", "---", "---:", "---", "---:", "---:", "---:")
    rows = [HEADER, rule, *(gap.cells() for gap in gaps)]
    return [
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
        f"Average of {describe_averages(gaps)}.",
    ]
