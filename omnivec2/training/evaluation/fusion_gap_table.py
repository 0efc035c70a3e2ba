"""How much a head's figure changes with cross-attention, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from pydantic import JsonValue
from rich.table import Table

HEADER = ("head", "part", "n", "metric", "m = 0", "m = 1", "gap")


@dataclass(frozen=True)
class Gap:
    """One head's figure without and with cross-attention.

    Attributes:
        route: ``<modality>/<task>``.
        metric: its name.
        split: the part it was measured on.
        samples: how many.
        off: the figure with m = 0, a single stream: what is served.
        on: the figure with m = 1, beside samples of another modality.
        higher_is_better: which way the metric points.
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
        """By how much m = 1 is better: points of a share, or percent of an error (m = 0)."""
        if self.higher_is_better:
            return 100 * (self.on - self.off)
        return 0.0 if self.on == self.off else 100 * (self.off - self.on) / self.off

    @property
    def unit(self) -> str:
        """Of the difference."""
        return "points" if self.higher_is_better else "%"

    def cells(self) -> tuple[str, ...]:
        """A row under :data:`HEADER`."""
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
        """For reports that programs read."""
        return {**asdict(self), "difference": self.difference, "unit": self.unit}


def averages(gaps: Sequence[Gap]) -> str:
    """The mean gap, and the mean of its size, of shares and of errors."""
    lines = []
    for unit, name in (("points", "shares"), ("%", "errors")):
        if of := [gap.difference for gap in gaps if gap.unit == unit]:
            lines.append(
                f"{name} ({len(of)} heads): {np.mean(of):+.2f} {unit} on average, "
                f"{np.mean(np.abs(of)):.2f} regardless of sign"
            )
    return "; ".join(lines)


def gaps_table(gaps: Sequence[Gap]) -> Table:
    """A table for the terminal."""
    table = Table(caption=f"gap: by how much m = 1 is better. {averages(gaps)}")
    for name in HEADER:
        table.add_column(name, justify="left" if name in ("head", "part", "metric") else "right")
    for gap in gaps:
        table.add_row(*gap.cells())
    return table


def gaps_markdown(gaps: Sequence[Gap]) -> list[str]:
    """The same as lines of Markdown."""
    rule = ("---", "---", "---:", "---", "---:", "---:", "---:")
    rows = [HEADER, rule, *(gap.cells() for gap in gaps)]
    return [*(f"| {' | '.join(row)} |" for row in rows), "", f"Average of {averages(gaps)}."]
