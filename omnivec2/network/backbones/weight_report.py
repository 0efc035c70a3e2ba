"""What became of every tensor of a backbone, and of every weight it should have filled."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from rich.table import Table

Outcome = Literal["taken", "left", "fresh"]
"""A tensor of the backbone was taken or left; a weight of ours has none and starts fresh."""

_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")
_KIND = re.compile(r"\.(weight|bias)$")


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
        """Return the rows with those of all layers in one, and weights with their biases.

        The number of a layer is written as ``*``, and both kinds as ``{weight,bias}``.
        """
        return _merged(_merged(self.rows, _without_numbers), _without_kinds)


def _merged(rows: Iterable[WeightRow], shorten: Callable[[str], str]) -> list[WeightRow]:
    """Merge rows whose names are equal once they are shortened; others keep their names."""
    groups: dict[tuple[str, ...], list[WeightRow]] = {}
    for row in rows:
        key = (row.outcome, shorten(row.theirs), shorten(row.ours), row.note)
        groups.setdefault(key, []).append(row)
    return [
        replace(group[0], theirs=theirs, ours=ours, count=sum(row.count for row in group))
        if len({(row.theirs, row.ours) for row in group}) > 1
        else replace(group[0], count=sum(row.count for row in group))
        for (_, theirs, ours, _), group in groups.items()
    ]


def _without_numbers(name: str) -> str:
    return _NUMBER.sub("*", name)


def _without_kinds(name: str) -> str:
    return _KIND.sub(".{weight,bias}", name)


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
