"""What a service promises under overload, as load tests of one and of several gateways check it."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

Promise = tuple[str, str, str, bool]
"""The name of a promise, what was seen, what is allowed, and whether it holds."""


def add_limits(parser: argparse.ArgumentParser) -> None:
    """Add the options of the load and of what is allowed under it."""
    parser.add_argument("--factor", type=float, default=10.0, help="times the sustainable rate")
    parser.add_argument(
        "--at-least", type=float, default=0.9, help="least share of the sustainable rate"
    )
    parser.add_argument(
        "--late-share", type=float, default=0.0, help="largest share of answers 504"
    )


def promises_of_answers(
    sent: float, in_time: float, statuses: Mapping[str, int], options: argparse.Namespace
) -> list[Promise]:
    """Compare the load and its answers with the options of ``add_limits``.

    Args:
        sent: The rate that was sent, in sustainable rates.
        in_time: The rate that was answered in time, in sustainable rates.
        statuses: The number of answers by status.
        options: The options of the command line.
    """
    failed = {s: n for s, n in statuses.items() if s not in ("200", "429", "504")}
    late = statuses.get("504", 0) / max(sum(statuses.values()), 1)
    return [
        ("load that arrived", f"{sent:.1f} x", f">= {0.9 * options.factor:g} x",
         sent >= 0.9 * options.factor),
        ("answered in time", f"{100 * in_time:.0f} %", f">= {100 * options.at_least:.0f} %",
         in_time >= options.at_least),
        ("admitted, but late (504)", f"{100 * late:.3f} %", f"<= {100 * options.late_share:g} %",
         late <= options.late_share),
        ("neither 200, 429 nor 504", str(failed or "none"), "none", not failed),
    ]  # fmt: skip


def as_figures(promises: Sequence[Promise]) -> list[dict[str, Any]]:
    """Return promises as reports have them."""
    return [dict(zip(("name", "seen", "allowed", "ok"), one, strict=True)) for one in promises]


def promise_table(options: argparse.Namespace, checks: Sequence[Mapping[str, Any]]) -> Table:
    """Return a table with a row per promise, as ``as_figures`` gives them."""
    table = Table(title=f"{options.factor:g} times the sustainable rate for {options.seconds:g} s")
    for column in ("promise", "seen", "allowed", ""):
        table.add_column(column)
    for check in checks:
        table.add_row(check["name"], check["seen"], check["allowed"], "ok" if check["ok"] else "NO")
    return table
