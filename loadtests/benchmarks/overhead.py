"""Measure all of a request that is not the network, for a picture, a text and a row of a table.

Five programs take turns on the same cores, with the same input, in one run:

* the service;
* the service with an engine that remembers its answers: a request without the network;
* an echo on the same server with the same settings: a request without a service;
* a bare loop of one thread: decode, prepare, one run of the engine;
* a bare loop per core at its best batch.

The clients are raw sockets in a process of low priority. One client waits for each answer: the
ratio of its median latency to the loop's is what a single caller pays. Sixteen show what is left
of the cores. Run it on a quiet machine::

    python -m loadtests.benchmarks.overhead
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from export.repository.assembly import assemble
from export.repository.layouts import Layout
from loadtests.support.light_client import Post, run_clients
from loadtests.support.measured_gateway import (
    CHECKPOINT,
    CORES,
    ROOT,
    Gateway,
    Load,
    report_parser,
    write_report,
)
from omnivec2.preprocess import Preprocessor, collate, preprocessor_for
from omnivec2.terminal import make_console
from service.runtimes.embedded.engines.base import LoadedGraph, LoadOptions
from service.runtimes.embedded.engines.find_engine import find_engine
from service.runtimes.embedded.repository_reader import read_repository

_DATA = ROOT / "tests" / "data"
_REMEMBERING = "loadtests.support.remembering_engine:ENGINE"
_BATCHES = (1, 4, 8, 16)
_MANY = 16

Row = dict[str, float]


@dataclass(frozen=True)
class Case:
    """A head and an input that is sent again and again."""

    route: str
    post: Post

    @property
    def modality(self) -> str:
        """The head's modality."""
        return self.route.partition("/")[0]


def cases() -> list[Case]:
    """Return a small JPEG, a short text and one row of a table."""
    picture = (_DATA / "image" / "blood_smear.jpg").read_bytes()
    text = (_DATA / "text" / "review.txt").read_bytes()
    columns = json.loads((_DATA / "tabular" / "adult_table.json").read_bytes())["table"]
    row = json.dumps({"inputs": {name: cells[:1] for name, cells in columns.items()}}).encode()
    return [
        Case(route, Post(f"/predict/{route}", body, content_type))
        for route, body, content_type in (
            ("image/classification", picture, "image/jpeg"),
            ("text/sentiment", text, "text/plain"),
            ("tabular/income", row, "application/json"),
        )
    ]


class BareLoop:
    """Decoding, preparing and one run of a head's graph in one piece, without a service."""

    def __init__(self, case: Case, repository: Path, engine: str) -> None:
        stored = read_repository(repository, (case.route,)).models[case.route.replace("/", "_")]
        self._body = case.post.body
        self._is_json = case.post.content_type == "application/json"
        self._media_type = case.post.content_type
        self._preprocessor: Preprocessor[Any, Any] = preprocessor_for(stored.spec)
        made = find_engine(engine)
        options = LoadOptions("fp32", 1, CORES)
        self._graph: LoadedGraph = made.load(stored.graphs[0], options)

    def answer(self, batch: int) -> None:
        """Answer as many inputs in one batch."""
        samples = [self._sample() for _ in range(batch)]
        self._graph.run(collate(samples))

    def median_seconds(self, seconds: float) -> float:
        """Return the median time of one answer, measured for so long."""
        times: list[float] = []
        stop = time.perf_counter() + seconds
        while not times or time.perf_counter() < stop:
            started = time.perf_counter()
            self.answer(1)
            times.append(time.perf_counter() - started)
        return statistics.median(times)

    def best_rate(self, seconds: float) -> float:
        """Return the answers per second of a loop per core, at the batch that gives most."""
        return max(self._rate(batch, seconds / len(_BATCHES)) for batch in _BATCHES)

    def _rate(self, batch: int, seconds: float) -> float:
        counts = [0] * CORES
        started = time.perf_counter()

        def work(index: int) -> None:
            while not counts[index] or time.perf_counter() - started < seconds:
                self.answer(batch)
                counts[index] += batch

        threads = [threading.Thread(target=work, args=(i,)) for i in range(CORES)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(counts) / (time.perf_counter() - started)

    def _sample(self) -> Mapping[str, Any]:
        if self._is_json:
            native = self._preprocessor.decode_json(json.loads(self._body)["inputs"])
        else:
            native = self._preprocessor.decode(self._body, self._media_type)
        return self._preprocessor.prepare(native).samples[0]


@contextmanager
def echo_server() -> Iterator[int]:
    """Run the echo in a process and yield its port."""
    command = (sys.executable, "-m", "loadtests.support.echo_server")
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(timeout=30)


@contextmanager
def engine_set(engine: str) -> Iterator[None]:
    """Set the engine of the servers that are started within the block."""
    # Clients that never stop may queue for as long as they like here.
    given = {"OMNIVEC2_ENGINE": engine, "OMNIVEC2_MAX_QUEUE_SECONDS": "60"}
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@dataclass(frozen=True)
class Ports:
    """The ports of the three servers."""

    service: int
    remembering: int
    echo: int


def measure(case: Case, loop: BareLoop, ports: Ports, seconds: float) -> Row:
    """Measure every program for so many seconds.

    Returns:
        The medians of one client in milliseconds, and the answers per second of many.
    """

    def load(port: int, clients: int) -> Load:
        return run_clients(port, case.post, clients, seconds)

    row = {"bare p50 ms": loop.median_seconds(seconds) * 1000}
    for name, port in vars(ports).items():
        row[f"{name} p50 ms"] = load(port, 1).percentile_ms(50)
    row["bare /s"] = loop.best_rate(seconds)
    for name, port in vars(ports).items():
        row[f"{name} /s"] = load(port, _MANY).rate
    row["latency ratio"] = row["service p50 ms"] / row["bare p50 ms"]
    row["throughput ratio"] = row["service /s"] / row["bare /s"]
    row["echo ratio"] = row["service /s"] / row["echo /s"]
    row["without network, echo ratio"] = row["remembering /s"] / row["echo /s"]
    row["without network ms"] = 1000 / row["remembering /s"]
    row["echo ms"] = 1000 / row["echo /s"]
    return row


def main() -> int:
    """Measure, print a table of medians, write a report."""
    options = _options()
    console = make_console()
    chosen = [case for case in cases() if case.modality in options.only]
    rounds: dict[str, list[Row]] = {case.route: [] for case in chosen}
    with ExitStack() as stack:
        whole = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        assemble(CHECKPOINT, whole, Layout.FUSED)
        parts = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        assemble(CHECKPOINT, parts, Layout.SHARED)
        serving = ["--model-repo", str(parts), "--checkpoint", str(parts / "none")]
        # With access logs: they are a part of what is measured.
        serving += ["--log-level", "info"]
        for case in chosen:
            serving += ["--only", case.route]
        with engine_set(options.engine):
            service = stack.enter_context(Gateway(*serving))
        with engine_set(_REMEMBERING):
            remembering = stack.enter_context(Gateway(*serving))
        ports = Ports(service.port, remembering.port, stack.enter_context(echo_server()))
        loops = [BareLoop(case, whole, options.engine) for case in chosen]
        for number in range(-1, options.rounds):
            for case, loop in zip(chosen, loops, strict=True):
                # The first round warms up: the engine remembers the batches it will see.
                row = measure(case, loop, ports, options.seconds if number >= 0 else 0.5)
                if number >= 0:
                    rounds[case.route].append(row)
                    console.print(f"round {number + 1} of {options.rounds}: {case.route}")
    medians = {
        route: {name: statistics.median(row[name] for row in rows) for name in rows[0]}
        for route, rows in rounds.items()
    }
    table = Table(title=f"medians of {options.rounds} rounds, 1 and {_MANY} clients")
    table.add_column("measured")
    for route in medians:
        table.add_column(route, justify="right")
    for name in next(iter(medians.values())):
        table.add_row(name, *(f"{row[name]:.3g}" for row in medians.values()))
    console.print(table)
    report = write_report(
        options.reports,
        "overhead",
        {
            "what": "a request without the network: the service against an echo and bare loops",
            "engine": options.engine,
            "seconds": options.seconds,
            "rounds": rounds,
            "medians": medians,
        },
    )
    console.print(f"wrote {report}")
    return 0


def _options() -> argparse.Namespace:
    parser = report_parser(__doc__)
    modalities = [case.modality for case in cases()]
    parser.add_argument("--only", nargs="+", choices=modalities, default=modalities)
    parser.add_argument("--engine", default="onnxruntime", help="engine of service and bare loops")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
