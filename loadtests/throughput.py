"""How much of a bare loop's speed is left once the whole service stands around it.

Three things answer the same JPEG with the same graph, in turns, in one run:

* one thread: decode, ``session.run`` with all cores, next picture;
* one such loop per core, each with a session of one thread;
* the service: 16 clients on loopback post the JPEG and read the JSON answer. The clients
  take their share of the same cores.

The ratio is the service against the faster of the two loops, round by round; the median
counts. Run it on a quiet machine::

    python loadtests/throughput.py
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from datetime import date
from pathlib import Path

import numpy as np
import onnxruntime as ort
from rich.table import Table

from export.repository import assemble
from omnivec2 import __version__
from omnivec2.checkpoint import read_checkpoint
from omnivec2.preprocess import Preprocessor, collate, preprocessor_for
from omnivec2.spec import HeadSpec
from omnivec2.terminal import make_console

ROOT = Path(__file__).resolve().parents[1]
CORES = len(os.sched_getaffinity(0))


def main() -> int:
    """Measure, print a table, write a report; exit code 1 if the ratio misses ``--at-least``."""
    options = _options()
    console = make_console()
    checkpoint = ROOT / "checkpoints" / "reference"
    assemble(checkpoint, options.model_repo)
    head = next(h for h in read_checkpoint(checkpoint).heads if h.route == options.route)
    picture = options.file.read_bytes()
    graph = options.model_repo / head.name / "1" / "model.onnx"
    rounds: list[dict[str, float]] = []
    with Server(options.model_repo, options.route) as server:
        for number in range(options.rounds):
            one = loop_rate(graph, head, picture, options.seconds, threads=1)
            each = loop_rate(graph, head, picture, options.seconds, threads=CORES)
            served = asyncio.run(
                service_rate(server.port, options.route, picture, options.seconds, options.clients)
            )
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
    report = write_report(options, head, rounds, ratio)
    console.print(f"wrote {report}")
    return 0 if ratio >= options.at_least else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--route", default="image/classification")
    parser.add_argument(
        "--file", type=Path, default=ROOT / "tests/data/image/blood_smear.jpg", help="a JPEG"
    )
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--at-least", type=float, default=0.85, help="ratio that passes")
    parser.add_argument("--model-repo", type=Path, default=ROOT / "model_repo")
    parser.add_argument("--reports", type=Path, default=ROOT / "loadtests" / "reports")
    return parser.parse_args()


def _line(row: dict[str, float]) -> str:
    return ", ".join(f"{name} {rate:.1f}/s" for name, rate in row.items())


def loop_rate(
    graph: Path, head: HeadSpec, picture: bytes, seconds: float, *, threads: int
) -> float:
    """Answers per second of bare loops: decode, run, and nothing else."""
    preprocessor: Preprocessor = preprocessor_for(head)  # type: ignore[type-arg]
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


async def service_rate(
    port: int, route: str, picture: bytes, seconds: float, clients: int
) -> float:
    """Answers per second of keep-alive clients that each wait for their answer."""
    request = (
        f"POST /predict/{route} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/jpeg\r\n"
        f"Content-Length: {len(picture)}\r\n\r\n"
    ).encode() + picture
    stop = time.perf_counter() + seconds

    async def client() -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        answers = 0
        while time.perf_counter() < stop:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            status = int(head[9:12])
            length = next(
                int(line.split(b":")[1])
                for line in head.lower().split(b"\r\n")
                if line.startswith(b"content-length:")
            )
            body = await reader.readexactly(length)
            if status != 200:
                raise RuntimeError(f"the service answered {status}: {body[:200]!r}")
            answers += 1
        writer.close()
        return answers

    started = time.perf_counter()
    total = sum(await asyncio.gather(*(client() for _ in range(clients))))
    return total / (time.perf_counter() - started)


class Server:
    """The real server, as ``omnivec2 serve`` starts it, with one head loaded."""

    def __init__(self, repository: Path, route: str) -> None:
        self._command = [
            sys.executable, "-m", "omnivec2.cli", "serve", "--port", "0",
            "--model-repo", str(repository), "--only", route, "--log-level", "warning",
        ]  # fmt: skip
        self.port = 0

    def __enter__(self) -> Server:
        self._process = subprocess.Popen(self._command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if "http://127.0.0.1:" in line:
                self.port = int(line.split("http://127.0.0.1:")[1].split()[0].split("/")[0])
                break
        else:
            raise RuntimeError("the server stopped before it was ready")
        threading.Thread(target=self._process.stderr.read, daemon=True).start()
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=60):
            return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(timeout=30)


def write_report(
    options: argparse.Namespace, head: HeadSpec, rounds: list[dict[str, float]], ratio: float
) -> Path:
    """A JSON file named by model, hardware and date, with versions."""
    hardware = f"{CORES}-cores-{_processor()}"
    options.reports.mkdir(parents=True, exist_ok=True)
    path: Path = options.reports / f"{head.name}_{hardware}_{date.today().isoformat()}.json"
    path.write_text(
        json.dumps(
            {
                "what": "throughput of the service against bare ONNX Runtime loops",
                "route": head.route,
                "checkpoint": head.checkpoint_digest,
                "clients": options.clients,
                "seconds": options.seconds,
                "picture": options.file.name,
                "rounds": [{k: round(v, 1) for k, v in row.items()} for row in rounds],
                "median_ratio": round(ratio, 3),
                "versions": {
                    "omnivec2-serve": __version__,
                    "onnxruntime": ort.__version__,
                    "python": platform.python_version(),
                },
            },
            indent=1,
        )
        + "\n"
    )
    return path


def _processor() -> str:
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return (names[0] if names else platform.machine()).replace(" ", "-")


if __name__ == "__main__":
    sys.exit(main())
