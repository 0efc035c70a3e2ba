"""What a service promises under overload, as load tests of one and of several gateways check it.

Both state the load in the same options, and report the same figures of its answers.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from loadtests.support.measured_gateway import write_report
from loadtests.traffic.flood import Exchange
from loadtests.traffic.flood_process import count_in_time, count_statuses
from omnivec2.terminal import make_console

Promise = tuple[str, str, str, bool]
"""The name of a promise, what was seen, what is allowed, and whether it holds."""


def add_load_options(
    parser: argparse.ArgumentParser, *, seconds: float, deadline_seconds: float
) -> None:
    """Add the options of the load and of what is allowed under it.

    Args:
        parser: The parser of the command line.
        seconds: The default length of the overload.
        deadline_seconds: The default deadline of every request.
    """
    parser.add_argument("--factor", type=float, default=10.0, help="times the sustainable rate")
    parser.add_argument(
        "--at-least", type=float, default=0.9, help="least share of the sustainable rate"
    )
    parser.add_argument(
        "--late-share", type=float, default=0.0, help="largest share of answers 504"
    )
    parser.add_argument("--seconds", type=float, default=seconds, help="length of the overload")
    parser.add_argument(
        "--sustain-seconds",
        type=float,
        default=10.0,
        help="length of each measurement of the sustainable rate",
    )
    parser.add_argument(
        "--deadline-seconds",
        type=float,
        default=deadline_seconds,
        help="deadline of every request",
    )


def figures_of_answers(
    exchanges: Sequence[Exchange], options: argparse.Namespace
) -> dict[str, Any]:
    """Return the rates, latencies and statuses of the answers under overload.

    Args:
        exchanges: The requests of the overload with their answers.
        options: The options of the command line.
    """
    span = max(exchange.at_seconds for exchange in exchanges) or 1.0
    in_time = count_in_time(exchanges, options.deadline_seconds)
    answered = sorted(e.seconds for e in exchanges if e.status == 200) or [0.0]
    return {
        "sent_per_second": round(len(exchanges) / span, 1),
        "in_time_per_second": round(in_time / options.seconds, 1),
        "deadline_seconds": options.deadline_seconds,
        "answered_ms": {
            "p50": round(1000 * answered[len(answered) // 2]),
            "p99": round(1000 * answered[int(0.99 * (len(answered) - 1))]),
        },
        "statuses": {str(k): n for k, n in sorted(count_statuses(exchanges).items())},
    }


def promises_of_answers(
    sent: float, in_time: float, statuses: Mapping[str, int], options: argparse.Namespace
) -> list[Promise]:
    """Compare the load and its answers with the options of ``add_load_options``.

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


def report(
    name: str,
    content: Mapping[str, Any],
    checks: Sequence[Mapping[str, Any]],
    options: argparse.Namespace,
) -> int:
    """Print the promises, write a report, and return the exit code: 1 if one is broken.

    Args:
        name: The name of the report.
        content: The conditions and figures of the run.
        checks: The promises, as ``as_figures`` gives them.
        options: The options of the command line.
    """
    console = make_console()
    console.print(_promise_table(options, checks))
    path = write_report(options.reports, name, {**content, "promises": checks})
    console.print(f"wrote {path}")
    return 0 if all(check["ok"] for check in checks) else 1


def _promise_table(options: argparse.Namespace, checks: Sequence[Mapping[str, Any]]) -> Table:
    """Return a table with a row per promise, as ``as_figures`` gives them."""
    table = Table(title=f"{options.factor:g} times the sustainable rate for {options.seconds:g} s")
    for column in ("promise", "seen", "allowed", ""):
        table.add_column(column)
    for check in checks:
        table.add_row(check["name"], check["seen"], check["allowed"], "ok" if check["ok"] else "NO")
    return table
