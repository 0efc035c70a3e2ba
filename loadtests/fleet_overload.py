"""Overload of several gateways before several Triton servers, ten times what they sustain.

1. Closed-loop clients of all gateways: the rate that can be sustained, before and after.
2. Ten times that rate arrives, in equal parts at every gateway.

The servers answer for a head of the reference network after a constant time and without computing,
or the gateways, the servers and the senders of load would share this machine's cores, which they
do not where there are many of them. ``--row-ms 0`` computes.

Each gateway decides by itself what it admits, from how fast its own requests are answered. Answers
count if they are 200 and within the deadline that every request carries. The exit code is 1 if
fewer are answered than ``--at-least`` allows, or if one fails otherwise than by a refusal::

    python -m loadtests.fleet_overload
    python -m loadtests.fleet_overload --gateways 2 --servers 3 --seconds 10
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx

from export.repository.assembly import assemble
from export.repository.layouts import Layout
from loadtests.support.free_ports import free_ports
from loadtests.support.measured_gateway import (
    CHECKPOINT,
    Gateway,
    report_parser,
    unwind_on_sigterm,
)
from loadtests.support.overload_promises import (
    add_load_options,
    as_figures,
    figures_of_answers,
    promises_of_answers,
    report,
)
from loadtests.support.paced_model import pace_model
from loadtests.support.triton_server import TritonServer, TritonServerError, running_triton
from loadtests.traffic.flood import Exchange, Job, Post
from loadtests.traffic.flood_process import (
    count_in_time,
    encode_posts,
    finish,
    start,
)
from omnivec2.spec import model_name
from omnivec2.terminal import make_console

_GENERATOR_NICE = 10
_CLIENTS_PER_GATEWAY = 4
"""Enough to keep the batchers of two servers busy."""

Figures = dict[str, Any]


def main() -> int:
    """Measure, print a table and write a report; return 1 if a promise is broken."""
    unwind_on_sigterm()
    options = _options()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        make_console().print(
            f"starting {options.servers} servers and {options.gateways} gateways ..."
        )
        servers = _servers(directory, options, stack)
        urls = _gateways(servers, options, stack)
        figures = _measure(urls, servers, options)
    content = {
        "what": "overload of several gateways before several Triton servers",
        "gateways": options.gateways,
        "servers": options.servers,
        "route": options.route,
        "row_ms": options.row_ms,
        **figures,
    }
    return report("fleet-overload", content, promises(figures, options), options)


def _options() -> argparse.Namespace:
    parser = report_parser(__doc__)
    parser.add_argument("--gateways", type=int, default=3, help="processes of the gateway")
    parser.add_argument("--servers", type=int, default=2, help="Triton servers")
    parser.add_argument("--route", default="text/sentiment", help="head that gets requests")
    parser.add_argument(
        "--row-ms", type=float, default=200.0, help="time of a row; 0 runs the network"
    )
    add_load_options(parser, seconds=30.0, deadline_seconds=5.0)
    return parser.parse_args()


def _servers(directory: Path, options: argparse.Namespace, stack: ExitStack) -> list[TritonServer]:
    """Start the servers on one port of several addresses of loopback."""
    repository = directory / "repository"
    assemble(CHECKPOINT, repository, Layout.FUSED if options.row_ms else Layout.SHARED)
    if options.row_ms:
        pace_model(repository, model_name(options.route), options.row_ms / 1000)
    ports = free_ports(3)
    mode = ("--model-control-mode", "explicit", "--load-model", model_name(options.route))
    servers = [
        stack.enter_context(
            running_triton(repository, *mode, host=f"127.0.0.{number + 1}", ports=ports)
        )
        for number in range(options.servers)
    ]
    for server in servers:
        entry = server.models()[model_name(options.route)]
        if entry["state"] != "READY":
            raise TritonServerError(f"{server.grpc} has not loaded it: {entry['reason']}")
    return servers


def _gateways(
    servers: Sequence[TritonServer], options: argparse.Namespace, stack: ExitStack
) -> list[str]:
    """Start the gateways and return their URLs."""
    endpoints = ",".join(server.grpc for server in servers)
    metrics_port = servers[0].metrics.rpartition(":")[2]
    environment = {**os.environ, "OMNIVEC2_TRITON_METRICS_PORT": metrics_port}
    started = [
        stack.enter_context(Gateway("--triton", endpoints, environment=environment))
        for _ in range(options.gateways)
    ]
    return [f"http://127.0.0.1:{gateway.port}" for gateway in started]


def _measure(
    urls: Sequence[str], servers: Sequence[TritonServer], options: argparse.Namespace
) -> Figures:
    posts = encode_posts(urls[0], [options.route], options.deadline_seconds)

    def sustained(seconds: float) -> float:
        exchanges = _run_everywhere(
            urls, posts, kind="closed", clients=_CLIENTS_PER_GATEWAY, seconds=seconds
        )
        return count_in_time(exchanges, options.deadline_seconds) / seconds

    sustained(options.sustain_seconds)  # warms up, and teaches the gateways what requests cost
    before = sustained(options.sustain_seconds)
    rows = [_rows(server, options.route) for server in servers]
    exchanges = _run_everywhere(
        urls,
        posts,
        kind="open",
        rate=options.factor * before / len(urls),
        seconds=options.seconds,
        nice=_GENERATOR_NICE,
    )
    shares = [_rows(s, options.route) - old for s, old in zip(servers, rows, strict=True)]
    after = sustained(options.sustain_seconds)
    return {
        "sustained_per_second": {"before": round(before, 1), "after": round(after, 1)},
        **figures_of_answers(exchanges, options),
        "rows_by_server": shares,
    }


def promises(seen: Figures, options: argparse.Namespace) -> list[Figures]:
    """Compare the figures with the promises under overload.

    Args:
        seen: The figures of the run.
        options: The options of the command line, with the limits.

    Returns:
        One row per promise: its name, what was seen, what is allowed, and whether it holds.
    """
    sustained = sum(seen["sustained_per_second"].values()) / 2
    statuses: Counter[str] = Counter(seen["statuses"])
    share = seen["in_time_per_second"] / max(sustained, 1e-9)
    sent = seen["sent_per_second"] / max(seen["sustained_per_second"]["before"], 1e-9)
    return as_figures(promises_of_answers(sent, share, statuses, options))


def _run_everywhere(urls: Sequence[str], posts: list[Post], **job: Any) -> list[Exchange]:
    """Do the same job at every gateway at the same time, and return all exchanges."""
    running = [start(Job(url=url, posts=posts, **job)) for url in urls]
    return [exchange for process in running for exchange in finish(process).exchanges]


def _rows(server: TritonServer, route: str) -> int:
    """Return the rows of a head that a server has answered since it started."""
    stats = httpx.get(f"{server.http}/v2/models/{model_name(route)}/stats", timeout=10).json()
    return int(stats["model_stats"][0]["inference_count"])


if __name__ == "__main__":
    sys.exit(main())
