"""Compare the service with other servers of the same head, in the same run.

Every server answers the same JPEG for image/classification of the reference checkpoint; the peers
run its whole graph (``servers`` has one file for each). One server runs at a time. In every round
each is started, must name the same label as the service, is loaded by one client and then by
sixteen, and is stopped. Then the service's image, text and tabular heads are compared with bare
loops of the engine that it chose. The medians of the rounds count::

    make bench-peers
    make bench-peers ARGS="--rounds 5 --only FastAPI"

The ratios are those of the service to each peer, round by round.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from loadtests.benchmarks.bare_loop import BareLoop, fastest_loop
from loadtests.benchmarks.service_ratios import (
    MANY_CLIENTS,
    Ratios,
    Round,
    chosen_engine,
    default_inputs,
    layouts,
    measure_round,
    spread,
)
from loadtests.peers.peer_process import (
    PEERS,
    Peer,
    check_same_answer,
    first_answer,
    installed_versions,
    running_peer,
)
from loadtests.support.http_load import (
    BUSY_MACHINE,
    HttpFigures,
    HttpRequest,
    LoadError,
    load_server,
)
from loadtests.support.measured_gateway import (
    ROOT,
    Gateway,
    report_parser,
    unwind_on_sigterm,
    write_report,
)
from omnivec2.passport import GRAPH_FILE
from omnivec2.spec import HeadSpec
from omnivec2.terminal import make_console

OURS = "OmniVec2 Serve"
_CHECKS = 8
"""Answers that are checked before a peer is measured: each of its workers should give some."""


@dataclass(frozen=True)
class Measured:
    """One server in one round.

    Attributes:
        many: The figures of sixteen clients.
        one: The figures of one client.
    """

    many: HttpFigures
    one: HttpFigures


def main() -> int:
    """Measure, print the tables and write a report."""
    options = _options()
    unwind_on_sigterm()
    console = make_console()
    peers = [peer for peer in PEERS if options.only.lower() in peer.name.lower()]
    rounds: list[dict[str, Measured]] = []
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        run = Comparison(directory, options)
        try:
            for number in range(options.rounds):
                rounds.append(run.measure_servers(peers))
                console.print(f"round {number + 1} of {options.rounds}: {_line(rounds[-1])}")
            loops = run.measure_loops() if options.loops else []
        except LoadError as error:
            console.print(str(error), markup=False)
            console.print(BUSY_MACHINE)
            return 1
    rows = server_rows(rounds)
    console.print(_server_table(rows))
    for result in loops:
        console.print(_loop_line(result))
    packages = dict.fromkeys(name for peer in peers for name in peer.packages)
    content = {
        "what": "the service and other servers, with the same head and the same JPEG",
        "route": run.given.route,
        "checkpoint": run.head.checkpoint_digest,
        "engine": run.engine,
        "clients": MANY_CLIENTS,
        "seconds": options.seconds,
        "rounds": options.rounds,
        "servers": rows,
        "loops": [result.summary() for result in loops],
        "peers": installed_versions(options.python.absolute(), packages),
    }
    console.print(f"wrote {write_report(options.reports, 'peers', content)}")
    return 0


def _options() -> argparse.Namespace:
    parser = report_parser(__doc__)
    parser.add_argument(
        "--python",
        type=Path,
        default=ROOT / ".venv-peers" / "bin" / "python",
        help="interpreter of the peers' environment",
    )
    parser.add_argument("--only", default="", help="measure only peers with this in their name")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6.0, help="length of each measurement")
    parser.add_argument("--warm-seconds", type=float, default=3.0, help="load before each")
    parser.add_argument(
        "--no-loops", dest="loops", action="store_false", help="leave out the bare loops"
    )
    return parser.parse_args()


class Comparison:
    """The service, its peers and its bare loops, on the same files.

    Args:
        directory: A directory for model repositories.
        options: The options of the command line.

    Attributes:
        given: The picture and its route.
        head: The head spec of that route.
        engine: The engine and precision that the service chose, if it says.
    """

    def __init__(self, directory: Path, options: argparse.Namespace) -> None:
        self._options = options
        self._served = directory / "served"
        self._repositories = layouts(directory)
        self.given = default_inputs()[0]
        name = self.given.route.replace("/", "_")
        fused = self._repositories[0] / name
        self._graph = fused / "1" / GRAPH_FILE
        self.head = HeadSpec.model_validate_json((fused / "head_spec.json").read_text())
        self.engine = ""
        self._expected: list[dict[str, Any]] = []

    def measure_servers(self, peers: Sequence[Peer]) -> dict[str, Measured]:
        """Measure the service and each peer once, one after the other.

        Args:
            peers: The peers.

        Raises:
            PeerError: A peer did not start, or answers otherwise than the service.
        """
        given = self.given
        request = HttpRequest(f"/predict/{given.route}", given.body, given.content_type)
        with self._service() as port:
            self._expected = first_answer(port, request)
            self.engine = " ".join(chosen_engine(port, given.route) or ())
            measured = {OURS: self._measure(port, request)}
        for peer in peers:
            request = peer.request(given.body)
            with running_peer(
                peer, self._options.python.absolute(), self._graph, list(self.head.labels)
            ) as port:
                for _ in range(_CHECKS):
                    check_same_answer(peer.name, first_answer(port, request), self._expected)
                measured[peer.name] = self._measure(port, request)
        return measured

    def measure_loops(self) -> list[Ratios]:
        """Measure image, text and tabular against bare loops, in turns."""
        inputs = default_inputs()
        with self._service() as port:
            loops: list[tuple[BareLoop, int]] = [
                fastest_loop(self._repositories, given, chosen_engine(port, given.route))
                for given in inputs
            ]
            rounds: list[list[Round]] = [[] for _ in inputs]
            for _ in range(self._options.rounds):
                for index, (given, (loop, batch)) in enumerate(zip(inputs, loops, strict=True)):
                    seconds = self._options.seconds
                    rounds[index].append(measure_round(port, given, loop, batch, seconds))
        return [
            Ratios(given.route, f"{loop.describe()}, batch {batch}", of_head)
            for given, (loop, batch), of_head in zip(inputs, loops, rounds, strict=True)
        ]

    @contextmanager
    def _service(self) -> Iterator[int]:
        """Run the service with its default settings and all heads, as ``make serve`` does."""
        with Gateway("--model-repo", str(self._served), "--log-level", "info") as gateway:
            yield gateway.port

    def _measure(self, port: int, request: HttpRequest) -> Measured:
        times = {"warm_seconds": self._options.warm_seconds, "seconds": self._options.seconds}
        # One client first: a server that has just started may refuse sixteen.
        one = load_server(port, request, connections=1, **times)
        return Measured(load_server(port, request, connections=MANY_CLIENTS, **times), one)


def server_rows(rounds: Sequence[dict[str, Measured]]) -> list[dict[str, Any]]:
    """Return one row per server: medians, ranges, and the ratios of the service to it.

    Args:
        rounds: The measurements of every server by name, the service among them, per round.
    """
    rows = []
    for name in rounds[0]:
        row: dict[str, Any] = {
            "server": name,
            "rate": spread([r[name].many.rate for r in rounds]),
            "p50_ms": spread([r[name].many.p50_ms for r in rounds]),
            "p99_ms": spread([r[name].many.p99_ms for r in rounds]),
            "one_p50_ms": spread([r[name].one.p50_ms for r in rounds]),
        }
        if name != OURS:
            row["rate_ratio"] = spread([r[OURS].many.rate / r[name].many.rate for r in rounds])
            row["one_ratio"] = spread([r[name].one.p50_ms / r[OURS].one.p50_ms for r in rounds])
        rows.append(row)
    return rows


def _line(measured: dict[str, Measured]) -> str:
    return ", ".join(f"{name} {m.many.rate:.1f}/s" for name, m in measured.items())


def _server_table(rows: Sequence[dict[str, Any]]) -> Table:
    table = Table(title=f"image/classification: {MANY_CLIENTS} clients, then one (medians)")
    columns = ("server", "answers/s", "p50 ms", "p99 ms", "ours / theirs", "one client p50 ms")
    for column in columns:
        table.add_column(column, justify="left" if column == "server" else "right")
    for row in rows:
        ratio = row.get("rate_ratio")
        table.add_row(
            row["server"],
            f"{row['rate']['median']:.1f}",
            f"{row['p50_ms']['median']:.1f}",
            f"{row['p99_ms']['median']:.1f}",
            f"{ratio['median']:.2f} ({ratio['low']:.2f}-{ratio['high']:.2f})" if ratio else "",
            f"{row['one_p50_ms']['median']:.1f}",
        )
    return table


def _loop_line(result: Ratios) -> str:
    seen = result.summary()
    return (
        f"{result.route}: {seen['service_rate']['median']:.4g} answers/s, "
        f"{result.many:.2f} of a bare loop ({result.loop}); one client "
        f"{seen['service_ms']['median']:.3g} ms, {1 / result.one:.2f} times the loop's time"
    )


if __name__ == "__main__":
    sys.exit(main())
