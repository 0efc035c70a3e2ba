"""Tables of replicas: computed from measured costs, and of simulated growth."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from docs.measured import table
from loadtests.scaling.sizing import TooFastError, newest_costs, replicas_for
from loadtests.support.measured_gateway import REPORTS

RATES = (10, 100, 1000, 10_000)
P99_MS = 250
CORES = 2


def sizing(reports: Path = REPORTS) -> str:
    """Return the replicas for some rates, by head, computed from the newest measured costs."""
    path, report = newest_costs(reports)
    header = ["head", "alone, ms", "among others, ms of a core", *(f"{rate:,}/s" for rate in RATES)]
    rows = [
        [
            f"`{head['route']}`",
            f"{head['alone_ms']:.1f}",
            f"{head['batched_ms']:.1f}",
            *_counts(head),
        ]
        for head in report["heads"]
    ]
    return f"{table(header, rows)}\n\n{_conditions(path, report)}"


def _counts(head: Mapping[str, Any]) -> Sequence[str]:
    alone, cost = head["alone_ms"] / 1000, head["batched_ms"] / 1000
    try:
        return [f"{replicas_for(rate, P99_MS / 1000, alone, cost, CORES):,}" for rate in RATES]
    except TooFastError:
        return ["slower alone"] * len(RATES)


def simulation(reports: Path = REPORTS) -> str:
    """Return what the newest simulation saw, by the number of servers."""
    found = sorted(reports.glob("simulation_*.json"), key=lambda path: path.stem[-10:])
    report = json.loads(found[-1].read_text())
    header = ["servers", "gateways", "load", "arriving", "refused", "goodput", "late",
              "median / 99th, ms", "busiest server"]  # fmt: skip
    rows = [
        [
            f"{one['servers']:,}",
            f"{one['gateways']:,}",
            f"{one['load']:g} x",
            f"{one['arrived']:,}",
            f"{one['refused']:.1%}",
            f"{one['goodput']:.1%}",
            f"{one['late']:,}",
            f"{one['p50_ms']:.0f} / {one['p99_ms']:.0f}",
            f"{one['unevenness']:.2f} x",
        ]
        for one in report["outcomes"]
    ]
    return f"{table(header, rows)}\n\nCosts: {report['costs']}; {report['cores']} cores a server."


def _conditions(path: Path, report: Mapping[str, Any]) -> str:
    hardware, day = path.stem.split("_")[1:]
    load = report["load_average_at_the_end"]
    return f"Measured: {hardware}, {day}, {report['clients']} clients, load average {load}."
