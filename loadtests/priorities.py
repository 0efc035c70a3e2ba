"""Priority classes under overload: who is answered in time, and who is refused.

1. Closed-loop clients find the rate that can be sustained.
2. Five times that rate arrives: half of the sustainable rate as high, twice of it as normal, and
   the rest as low requests, each class from a process of its own.

The exit code is 1 unless 99 % of the high requests are answered within their deadline and the low
ones are refused more often than the normal ones::

    python -m loadtests.priorities
    python -m loadtests.priorities --routes text/sentiment --seconds 10
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import ExitStack
from typing import Any

from rich.table import Table

from loadtests.overload import ROUTES
from loadtests.support.measured_gateway import Gateway, report_parser, write_report
from loadtests.traffic.corpus import check_address
from loadtests.traffic.flood import Exchange, Job
from loadtests.traffic.flood_process import (
    count_in_time,
    count_statuses,
    encode_posts,
    finish,
    start,
)
from omnivec2.terminal import make_console
from service.access.priority import PRIORITY_HEADER

_TIMES_SUSTAINABLE = {"high": 0.5, "normal": 2.0, "low": 2.5}
_LEAST_HIGH = 0.99
_GENERATOR_NICE = 10


def main() -> int:
    """Measure, print a table and write a report; return 1 if a promise is broken."""
    options = _options()
    with ExitStack() as stack:
        url = options.url
        if url is None:
            directory = stack.enter_context(tempfile.TemporaryDirectory())
            gateway = stack.enter_context(Gateway("--model-repo", directory))
            url = f"http://127.0.0.1:{gateway.port}"
        check_address(url, allow_remote=False)
        rate, classes = _measure(url, options)
    table = Table(title=f"five times the sustainable {rate:.0f}/s for {options.seconds:g} s")
    for column in ("class", "sent per second", "answered in time", "refused", "late or failed"):
        table.add_column(column, justify="right")
    for name, seen in classes.items():
        shares = (seen["in_time"], seen["refused"], seen["late_or_failed"])
        table.add_row(name, f"{seen['sent_per_second']:.1f}", *(f"{100 * s:.1f} %" for s in shares))
    console = make_console()
    console.print(table)
    content = {"what": "priorities", "sustained_per_second": round(rate, 1), "classes": classes}
    console.print(f"wrote {write_report(options.reports, 'priorities', content)}")
    holds = (
        classes["high"]["in_time"] >= _LEAST_HIGH
        and classes["low"]["refused"] > classes["normal"]["refused"] > classes["high"]["refused"]
    )
    console.print("the promises hold" if holds else "a promise is broken")
    return 0 if holds else 1


def _options() -> argparse.Namespace:
    parser = report_parser(__doc__)
    parser.add_argument("--url", help="load this service, and start none")
    parser.add_argument(
        "--routes", nargs="+", default=ROUTES, help="heads that get requests in turn"
    )
    parser.add_argument("--seconds", type=float, default=30.0, help="length of the overload")
    parser.add_argument(
        "--clients", type=int, default=8, help="clients that find the sustainable rate"
    )
    parser.add_argument(
        "--sustain-seconds", type=float, default=10.0, help="length of that measurement"
    )
    parser.add_argument(
        "--deadline-seconds", type=float, default=2.0, help="deadline of every request"
    )
    return parser.parse_args()


def _measure(url: str, options: argparse.Namespace) -> tuple[float, dict[str, dict[str, Any]]]:
    """Return the sustainable rate, and the figures of each class above it."""
    target = (url, options.routes, options.deadline_seconds)
    sustained: list[Exchange] = []
    for seconds in (options.sustain_seconds / 2, options.sustain_seconds):  # the first warms up
        posts = encode_posts(*target)
        job = Job(url=url, posts=posts, kind="closed", clients=options.clients, seconds=seconds)
        sustained = finish(start(job)).exchanges
    rate = count_in_time(sustained, options.deadline_seconds) / options.sustain_seconds
    running = {
        name: start(
            Job(
                url=url,
                posts=encode_posts(*target, {PRIORITY_HEADER: name}),
                kind="open",
                rate=times * rate,
                seconds=options.seconds,
                nice=_GENERATOR_NICE,
            )
        )
        for name, times in _TIMES_SUSTAINABLE.items()
    }
    floods = {name: finish(process).exchanges for name, process in running.items()}
    return rate, {name: _figures(flood, options) for name, flood in floods.items()}


def _figures(exchanges: list[Exchange], options: argparse.Namespace) -> dict[str, Any]:
    statuses = count_statuses(exchanges)
    count = max(1, len(exchanges))
    in_time = count_in_time(exchanges, options.deadline_seconds)
    refused = statuses[429]
    return {
        "sent_per_second": round(len(exchanges) / options.seconds, 1),
        "in_time": round(in_time / count, 4),
        "refused": round(refused / count, 4),
        "late_or_failed": round((count - in_time - refused) / count, 4),
        "statuses": {str(status): n for status, n in sorted(statuses.items())},
    }


if __name__ == "__main__":
    sys.exit(main())
