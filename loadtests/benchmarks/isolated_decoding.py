"""What do decoders in processes of their own cost? The same service with and without, in turns.

``OMNIVEC2_ISOLATE_DECODERS`` keeps a file that crashes a decoder from ending the service. This
prints the throughput with it as a ratio to that without, and the processor time per request::

    python -m loadtests.benchmarks.isolated_decoding
    python -m loadtests.benchmarks.isolated_decoding --route audio/events --file dog_bark.ogg
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from loadtests.support.http_load import HttpRequest, load_server
from loadtests.support.measured_gateway import (
    ROOT,
    Gateway,
    report_parser,
    unwind_on_sigterm,
    write_report,
)
from loadtests.support.process_tree import processes_below
from omnivec2.terminal import make_console

_SETTING = "OMNIVEC2_ISOLATE_DECODERS"
_CLIENTS = 16


@dataclass(frozen=True)
class Measured:
    """What was measured of one service in one round.

    Attributes:
        rate: The answers per second with 16 clients.
        p50_ms: The median latency with one client, in milliseconds.
        processor_ms: The processor time of all its processes per request, in milliseconds.
    """

    rate: float
    p50_ms: float
    processor_ms: float


def main() -> int:
    """Measure, print a table and write a report."""
    options = _options()
    unwind_on_sigterm()
    request = HttpRequest(
        f"/predict/{options.route}", options.file.read_bytes(), options.content_type
    )
    with ExitStack() as stack:
        isolated, within = (_start(stack, options.route, value) for value in ("true", "false"))
        for gateway in (isolated, within):
            load_server(
                gateway.port, request, connections=_CLIENTS, warm_seconds=2, seconds=options.seconds
            )
        rounds = [
            (
                measure(isolated, request, options.seconds),
                measure(within, request, options.seconds),
            )
            for _ in range(options.rounds)
        ]
    console = make_console()
    console.print(_table(options.route, rounds))
    content = {
        "what": "isolated decoding",
        "route": options.route,
        "rounds": [[vars(one) for one in pair] for pair in rounds],
        "rate_ratio": ratio(rounds, "rate"),
    }
    console.print(f"wrote {write_report(options.reports, 'isolated-decoding', content)}")
    return 0


def measure(gateway: Gateway, request: HttpRequest, seconds: float) -> Measured:
    """Measure a service with 16 clients and with one."""
    before = _processor_seconds(gateway.pid)
    many = load_server(
        gateway.port, request, connections=_CLIENTS, warm_seconds=0.01, seconds=seconds
    )
    spent = _processor_seconds(gateway.pid) - before
    one = load_server(
        gateway.port, request, connections=1, warm_seconds=seconds / 4, seconds=seconds / 2
    )
    return Measured(many.rate, one.p50_ms, 1000 * spent / (many.rate * seconds))


def ratio(rounds: Sequence[tuple[Measured, Measured]], name: str) -> float:
    """Return the median over rounds of isolated against in-process."""
    ratios: list[float] = [getattr(ours, name) / getattr(theirs, name) for ours, theirs in rounds]
    return statistics.median(ratios)


def _options() -> argparse.Namespace:
    parser = report_parser(__doc__)
    parser.add_argument("--route", default="image/classification", help="the head")
    parser.add_argument(
        "--file", type=Path, default=ROOT / "tests/data/image/blood_smear.jpg", help="the input"
    )
    parser.add_argument(
        "--content-type", default="application/octet-stream", help="its content type"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a measurement")
    return parser.parse_args()


def _start(stack: ExitStack, route: str, isolate: str) -> Gateway:
    directory = stack.enter_context(tempfile.TemporaryDirectory())
    os.environ[_SETTING] = isolate
    try:
        return stack.enter_context(Gateway("--model-repo", directory, "--only", route))
    finally:
        del os.environ[_SETTING]


def _processor_seconds(pid: int) -> float:
    """Return the processor time so far of a process and all below it."""
    ticks = 0
    for number in processes_below(pid):
        try:
            fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _table(route: str, rounds: Sequence[tuple[Measured, Measured]]) -> Table:
    table = Table(title=f"{route}: decoders in processes of their own, against in the gateway")
    for column in ("", "isolated", "in process", "ratio"):
        table.add_column(column, justify="right")
    for name, title in (
        ("rate", f"answers/s, {_CLIENTS} clients"),
        ("p50_ms", "p50 ms, 1 client"),
        ("processor_ms", "processor ms per request"),
    ):
        columns = [
            statistics.median(getattr(pair[side], name) for pair in rounds) for side in (0, 1)
        ]
        table.add_row(title, *(f"{value:.2f}" for value in columns), f"{ratio(rounds, name):.2f}")
    return table


if __name__ == "__main__":
    raise SystemExit(main())
