"""Measure what an answer of each head costs, in seconds of one core of a gateway.

The gateway's own processor time is counted, so that figures of a machine that does other things
besides are nearly those of a quiet one: alone, with one client, which is also about the time that
an answer takes; and with enough clients that batches fill::

    python -m loadtests.scaling.measure_costs
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.table import Table

from loadtests.support.measured_gateway import (
    ROOT,
    Gateway,
    HttpClient,
    closed_loop,
    report_parser,
    write_report,
)
from loadtests.traffic.corpus import Sample, find_targets
from omnivec2.terminal import make_console

ROUTES = (
    *("image/classification", "image/detection", "image/embedding", "text/sentiment"),
    *("text/embedding", "tabular/income", "audio/events", "timeseries/forecast", "video/action"),
)
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_WARM_UP_SECONDS = 3.0


def main() -> int:
    """Measure, print a table and write a report."""
    parser = report_parser(__doc__)
    parser.add_argument("--routes", nargs="+", default=ROUTES, help="heads to measure")
    parser.add_argument("--seconds", type=float, default=8.0, help="length of a measurement")
    parser.add_argument("--clients", type=int, default=16, help="clients that fill batches")
    options = parser.parse_args()
    console = make_console()
    rows: list[dict[str, Any]] = []
    # Nothing is to be refused here, however slow a machine that does other things besides.
    environment = {**os.environ, "OMNIVEC2_MAX_QUEUE_SECONDS": "60"}
    with (
        tempfile.TemporaryDirectory() as directory,
        Gateway("--model-repo", directory, environment=environment) as gateway,
    ):
        mix = dict.fromkeys(options.routes, 1.0)
        targets = find_targets(f"http://127.0.0.1:{gateway.port}", ROOT / "tests" / "data", mix)
        for target in targets:
            console.print(f"{target.route} ...")
            rows.append({"route": target.route, **_measure(gateway, target, options)})
    table = Table("head", "alone, ms of a core", "in batches, ms of a core")
    for row in rows:
        table.add_row(row["route"], f"{row['alone_ms']:.1f}", f"{row['batched_ms']:.1f}")
    console.print(table)
    content = {"what": "processor time of an answer", "clients": options.clients, "heads": rows}
    console.print(f"wrote {write_report(options.reports, 'costs', content)}")
    return 0


def _measure(gateway: Gateway, target: Any, options: argparse.Namespace) -> dict[str, float]:
    asyncio.run(_seconds_per_answer(gateway, target, options.clients, _WARM_UP_SECONDS))
    alone = asyncio.run(_seconds_per_answer(gateway, target, 1, options.seconds))
    batched = asyncio.run(_seconds_per_answer(gateway, target, options.clients, options.seconds))
    return {"alone_ms": round(1000 * alone, 2), "batched_ms": round(1000 * batched, 2)}


async def _seconds_per_answer(gateway: Gateway, target: Any, clients: int, seconds: float) -> float:
    """Return the processor time of an answer, in seconds."""
    connections = [
        _client(gateway, target.path, target.samples[number % len(target.samples)])
        for number in range(clients)
    ]
    before = _processor_seconds(gateway.pid)
    load = await closed_loop([connection.send for connection in connections], seconds)
    used = _processor_seconds(gateway.pid) - before
    for connection in connections:
        connection.close()
    return used / len(load.seconds)


def _client(gateway: Gateway, path: str, sample: Sample) -> HttpClient:
    content_type = sample.headers.get("Content-Type", "application/octet-stream")
    return HttpClient(gateway.port, path, sample.body, content_type)


def _processor_seconds(pid: int) -> float:
    """Return the time that all threads of a process, and children that ended, have computed."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(ticks) for ticks in fields[11:15]) / _TICKS_PER_SECOND


if __name__ == "__main__":
    sys.exit(main())
