"""Compare the throughput of the service with bare loops of decoding and inference.

Three programs answer the same JPEG with the same graph, in turns, in one run:

* one thread: decode, ``session.run`` with all cores, next picture;
* one such loop per core, each with a session of one thread;
* the service: 16 clients on loopback post the JPEG and read the JSON answer. The clients
  take their share of the same cores.

The ratio is the service against the faster of the two loops, round by round; the median
counts. Run it on a quiet machine::

    python -m loadtests.benchmarks.throughput
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import onnxruntime as ort
from rich.table import Table

from export.repository.assembly import assemble
from export.repository.layouts import Layout
from loadtests.support.measured_gateway import (
    CHECKPOINT,
    CORES,
    ROOT,
    Gateway,
    HttpClient,
    closed_loop,
    report_parser,
    write_report,
)
from omnivec2.checkpoint import read_checkpoint
from omnivec2.preprocess import Preprocessor, collate, preprocessor_for
from omnivec2.spec import HeadSpec
from omnivec2.terminal import make_console


def main() -> int:
    """Measure, print a table, write a report; return 1 if the ratio misses ``--at-least``."""
    options = _options()
    console = make_console()
    head = next(h for h in read_checkpoint(CHECKPOINT).heads if h.route == options.route)
    picture = options.file.read_bytes()
    rounds: list[dict[str, float]] = []
    with ExitStack() as stack:
        whole = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        served_from = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        assemble(CHECKPOINT, whole, Layout.FUSED)
        assemble(CHECKPOINT, served_from, Layout(options.layout))
        graph = whole / head.name / "1" / "model.onnx"
        serving = ("--model-repo", str(served_from), "--checkpoint", str(served_from / "none"))
        server = stack.enter_context(Gateway(*serving, "--only", options.route))
        for number in range(options.rounds):
            one = loop_rate(graph, head, picture, options.seconds, threads=1)
            each = loop_rate(graph, head, picture, options.seconds, threads=CORES)
            served = asyncio.run(service_rate(server.port, options, picture))
            rounds.append({"one loop": one, "loop per core": each, "service": served})
            console.print(f"round {number + 1} of {options.rounds}: {_line(rounds[-1])}")
    ratio = statistics.median(r["service"] / max(r["one loop"], r["loop per core"]) for r in rounds)
    table = Table(title=f"{options.route}, {options.clients} clients, answers per second")
    for column in ("round", *rounds[0], "service / faster loop"):
        table.add_column(column, justify="right")
    for number, row in enumerate(rounds, 1):
        share = row["service"] / max(row["one loop"], row["loop per core"])
        table.add_row(str(number), *(f"{v:.1f}" for v in row.values()), f"{share:.2f}")
    console.print(table)
    console.print(f"median ratio {ratio:.2f} (wanted: at least {options.at_least})")
    report = write_report(
        options.reports,
        f"throughput-{head.name}",
        {
            "what": "throughput of the service against bare ONNX Runtime loops",
            "route": head.route,
            "layout": options.layout,
            "checkpoint": head.checkpoint_digest,
            "clients": options.clients,
            "seconds": options.seconds,
            "picture": options.file.name,
            "rounds": [{k: round(v, 1) for k, v in row.items()} for row in rounds],
            "median_ratio": round(ratio, 3),
        },
    )
    console.print(f"wrote {report}")
    return 0 if ratio >= options.at_least else 1


def _options() -> argparse.Namespace:
    parser = report_parser(__doc__)
    parser.add_argument("--route", default="image/classification")
    parser.add_argument(
        "--file", type=Path, default=ROOT / "tests/data/image/blood_smear.jpg", help="a JPEG"
    )
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=6.0, help="length of each measurement")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--at-least", type=float, default=0.85, help="ratio that passes")
    parser.add_argument("--layout", choices=[*Layout], default=Layout.SHARED)
    return parser.parse_args()


def _line(row: dict[str, float]) -> str:
    return ", ".join(f"{name} {rate:.1f}/s" for name, rate in row.items())


def loop_rate(
    graph: Path, head: HeadSpec, picture: bytes, seconds: float, *, threads: int
) -> float:
    """Measure the answers per second of bare loops, which only decode and run.

    Args:
        graph: The graph.
        head: The graph's head spec.
        picture: The JPEG.
        seconds: The length of the measurement.
        threads: The number of loops.
    """
    preprocessor: Preprocessor = preprocessor_for(head)  # type: ignore[type-arg]  # of any modality
    sessions = [_session(graph, CORES // threads) for _ in range(threads)]
    counts = [0] * threads
    stop = time.perf_counter() + seconds

    def work(index: int) -> None:
        while time.perf_counter() < stop:
            sample = preprocessor.prepare(preprocessor.decode(picture)).samples[0]
            logits = sessions[index].run(None, collate([sample]))[0]
            assert np.isfinite(logits).all()
            counts[index] += 1

    started = time.perf_counter()
    workers = [threading.Thread(target=work, args=(i,)) for i in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(counts) / (time.perf_counter() - started)


def _session(graph: Path, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


async def service_rate(port: int, options: argparse.Namespace, picture: bytes) -> float:
    """Measure the answers per second of keep-alive clients with one request each.

    Args:
        port: The gateway's port.
        options: The options of the command line.
        picture: The JPEG.
    """
    path = f"/predict/{options.route}"
    clients = [HttpClient(port, path, picture, "image/jpeg") for _ in range(options.clients)]
    load = await closed_loop([client.send for client in clients], options.seconds)
    for client in clients:
        client.close()
    return load.rate


if __name__ == "__main__":
    sys.exit(main())
