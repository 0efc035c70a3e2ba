"""What became of every tensor of a backbone, and of every weight it should have filled."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from rich.table import Table

Outcome = Literal["taken", "left", "fresh"]
"""A tensor of the backbone was taken or left; a weight of ours has none and starts fresh."""

_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")


@dataclass(frozen=True)
class WeightRow:
    """One tensor.

    Attributes:
        outcome: The outcome.
        theirs: The name in the backbone's file; empty for a weight that starts fresh.
        ours: The name in this network; empty for a tensor that was left.
        note: The reason, or what was changed on the way.
        count: The number of tensors that the row stands for, once rows are grouped.
    """

    outcome: Outcome
    theirs: str = ""
    ours: str = ""
    note: str = ""
    count: int = 1


@dataclass
class WeightReport:
    """The report on one backbone.

    Attributes:
        source: The file or directory.
        layout: The name of the layout of its names.
        rows: A row for every tensor and for every weight that starts fresh.
    """

    source: Path
    layout: str
    rows: list[WeightRow] = field(default_factory=list)

    def taken(self, theirs: str, ours: str, note: str = "") -> None:
        """Record a tensor that was copied."""
        self.rows.append(WeightRow("taken", theirs, ours, note))

    def left(self, theirs: str, note: str) -> None:
        """Record a tensor that was not used, and why."""
        self.rows.append(WeightRow("left", theirs, "", note))

    def fresh(self, ours: str, note: str) -> None:
        """Record a weight that the backbone should have filled and could not."""
        self.rows.append(WeightRow("fresh", "", ours, note))

    def names(self, outcome: Outcome) -> set[str]:
        """Return the backbone's names with an outcome; ours for weights that start fresh."""
        return {row.theirs or row.ours for row in self.rows if row.outcome == outcome}

    def grouped(self) -> list[WeightRow]:
        """Return the rows with those of all layers in one, their numbers written as ``*``."""
        groups: dict[tuple[str, ...], WeightRow] = {}
        for row in self.rows:
            short = replace(row, theirs=_starred(row.theirs), ours=_starred(row.ours))
            key = (short.outcome, short.theirs, short.ours, short.note)
            before = groups.get(key)
            groups[key] = short if before is None else replace(before, count=before.count + 1)
        return list(groups.values())


def _starred(name: str) -> str:
    return _NUMBER.sub("*", name)


def report_table(report: WeightReport) -> Table:
    """Return a table of what was taken, what was left and what starts fresh."""
    count = {kind: len(report.names(kind)) for kind in _ORDER}
    table = Table(
        title=f"{report.source} ({report.layout} names): {count['taken']} tensors taken, "
        f"{count['left']} left, {count['fresh']} weights start fresh"
    )
    for column in ("", "tensors", "in the file", "in this network", "note"):
        table.add_column(column, overflow="fold")
    for row in _in_order(report.grouped()):
        table.add_row(row.outcome, str(row.count), row.theirs, row.ours, row.note)
    return table


_ORDER: tuple[Outcome, ...] = ("taken", "left", "fresh")


def _in_order(rows: Sequence[WeightRow]) -> Iterable[WeightRow]:
    return sorted(rows, key=lambda row: _ORDER.index(row.outcome))
