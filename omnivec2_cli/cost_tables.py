"""Tables of what a network costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from export.cost.head_cost import HeadCost


def weights_table(title: str, parts: Mapping[str, int]) -> Table:
    """Return a table with the number of weights of every part, and their share of all."""
    whole = sum(parts.values())
    table = Table(title=f"{title}: {whole / 1e6:.2f} M weights")
    table.add_column("part")
    table.add_column("weights", justify="right")
    table.add_column("share", justify="right")
    for name, count in parts.items():
        table.add_row(name, f"{count:,}", f"{count / whole:.1%}")
    return table


def operations_table(costs: Sequence[HeadCost]) -> Table:
    """Return a table with the operations of one sample of every head, in GFLOPs."""
    table = Table(title="GFLOPs of one sample (a multiplication with addition is two)")
    table.add_column("head")
    for column in ("tokens", "tokenizer", "trunk", "own layers", "total"):
        table.add_column(column, justify="right")
    for cost in costs:
        own = None
        if cost.tokenizer is not None and cost.trunk is not None:
            own = cost.total - cost.tokenizer - cost.trunk
        figures = (cost.tokenizer, cost.trunk, own, cost.total)
        table.add_row(cost.route, _shown(cost.tokens), *map(_giga, figures))
    return table


def _shown(value: int | None) -> str:
    return "-" if value is None else str(value)


def _giga(value: int | None) -> str:
    return "-" if value is None else f"{value / 1e9:.3f}"
