"""Compute how many replicas a rate of requests needs, from measured costs.

A replica is a queue of its own with as many servers as it has cores (M/M/c). Erlang's formula gives
the share of requests that wait and for how long; service times are taken for exponential, which is
worse than they are, and a replica is never planned for more than 80 % of what it can do, because
load is not balanced perfectly and replicas are lost::

    python -m loadtests.scaling.sizing --rate 500 --p99-ms 200
    python -m loadtests.scaling.sizing --rate 500 --p99-ms 200 --cores 8 --heads text/sentiment
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from loadtests.support.measured_gateway import REPORTS
from omnivec2.terminal import make_console

MOST_UTILISATION = 0.8
"""The share of its capacity that a replica is planned for."""

_MOST_REPLICAS = 100_000


class TooFastError(ValueError):
    """No number of replicas answers within that time."""


def waiting_share(cores: int, offered: float) -> float:
    """Return the share of requests that wait, by Erlang's C formula.

    Args:
        cores: The cores of a replica.
        offered: The work that arrives per second, in seconds of a core; less than ``cores``.
    """
    # Erlang's B by its recursion, which does not overflow.
    blocked = 1.0
    for servers in range(1, cores + 1):
        blocked = offered * blocked / (servers + offered * blocked)
    return blocked / (1.0 - offered / cores * (1.0 - blocked))


def latency_seconds(alone: float, cost: float, cores: int, rate: float, share: float) -> float:
    """Return a percentile of the time to an answer of one replica, in seconds.

    Args:
        alone: The time to an answer without others, in seconds.
        cost: The work of an answer among others, in seconds of a core.
        cores: The cores of the replica.
        rate: The requests per second that it gets.
        share: The share of answers within the time, such as .99.

    Returns:
        The time; infinite if the work is more than the cores do.
    """
    offered = rate * cost
    if offered >= cores:
        return math.inf
    waiting = waiting_share(cores, offered)
    if waiting <= 1.0 - share:
        return alone
    return alone + math.log(waiting / (1.0 - share)) * cost / (cores - offered)


def replicas_for(rate: float, p99_seconds: float, alone: float, cost: float, cores: int) -> int:
    """Return the fewest replicas that answer 99 % of a rate within a time.

    Args:
        rate: The requests per second.
        p99_seconds: The time.
        alone: The time to an answer without others, in seconds.
        cost: The work of an answer among others, in seconds of a core.
        cores: The cores of a replica.

    Raises:
        TooFastError: An answer alone takes longer.
    """
    if alone > p99_seconds:
        raise TooFastError(f"an answer takes {1000 * alone:.0f} ms alone")
    replicas = max(1, math.ceil(rate * cost / (cores * MOST_UTILISATION)))
    while latency_seconds(alone, cost, cores, rate / replicas, 0.99) > p99_seconds:
        replicas += 1
        if replicas > _MOST_REPLICAS:
            raise TooFastError("no number of replicas is enough")
    return replicas


def newest_costs(reports: Path = REPORTS) -> tuple[Path, Mapping[str, Any]]:
    """Return the newest report of ``measure_costs``, and its path.

    Raises:
        FileNotFoundError: There is none.
    """
    found = sorted(reports.glob("costs_*.json"), key=lambda path: path.stem.rpartition("_")[2])
    if not found:
        raise FileNotFoundError(
            f"{reports}: no costs; run python -m loadtests.scaling.measure_costs"
        )
    return found[-1], json.loads(found[-1].read_text())


def main() -> int:
    """Print the replicas for a rate and a latency, of every measured head."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rate", type=float, required=True, help="requests per second")
    parser.add_argument("--p99-ms", type=float, required=True, help="99 %% of answers within")
    parser.add_argument("--cores", type=int, default=2, help="cores of a replica")
    parser.add_argument("--heads", nargs="+", help="heads; by default all that were measured")
    parser.add_argument("--reports", type=Path, default=REPORTS)
    options = parser.parse_args()
    path, report = newest_costs(options.reports)
    table = Table("head", "alone, ms", "cost, ms of a core", "replicas", "99 % within, ms")
    for head in report["heads"]:
        if options.heads and head["route"] not in options.heads:
            continue
        alone, cost = head["alone_ms"] / 1000, head["batched_ms"] / 1000
        try:
            count = replicas_for(options.rate, options.p99_ms / 1000, alone, cost, options.cores)
        except TooFastError as error:
            table.add_row(
                head["route"], f"{1000 * alone:.1f}", f"{1000 * cost:.1f}", str(error), ""
            )
            continue
        seconds = latency_seconds(alone, cost, options.cores, options.rate / count, 0.99)
        figures = (
            f"{1000 * alone:.1f}",
            f"{1000 * cost:.1f}",
            f"{count:,}",
            f"{1000 * seconds:.0f}",
        )
        table.add_row(head["route"], *figures)
    console = make_console()
    console.print(table)
    console.print(f"costs: {path.name}", highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
