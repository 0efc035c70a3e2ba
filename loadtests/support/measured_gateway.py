"""A gateway to measure, clients that load it, and reports of the figures."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from omnivec2 import __version__
from omnivec2.engines.hardware_name import name_for_files, processor_name

ROOT = Path(__file__).resolve().parents[2]
CHECKPOINT = ROOT / "checkpoints" / "reference"
REPORTS = ROOT / "loadtests" / "reports"
CORES = len(os.sched_getaffinity(0))


class Gateway:
    """The real gateway, as ``omnivec2 serve`` starts it, on loopback.

    Args:
        options: The options of ``omnivec2 serve``.
        environment: The environment variables; this process's own by default.
    """

    def __init__(self, *options: str, environment: Mapping[str, str] | None = None) -> None:
        self._environment = environment
        self._command = [
            *(sys.executable, "-m", "omnivec2_cli.main", "serve", "--port", "0"),
            *("--log-level", "warning", *options),
        ]
        self.port = 0

    def __enter__(self) -> Gateway:
        self._process = subprocess.Popen(
            self._command, cwd=ROOT, stderr=subprocess.PIPE, text=True, env=self._environment
        )
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if "heads at http://127.0.0.1:" in line:
                self.port = int(line.split("http://127.0.0.1:")[1].split()[0].split("/")[0])
                break
        else:
            raise RuntimeError("the gateway stopped before it was ready")
        self._reader = threading.Thread(target=self._process.stderr.read, daemon=True)
        self._reader.start()
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=60):
            return self

    @property
    def pid(self) -> int:
        """The id of the gateway's process."""
        return self._process.pid

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(timeout=30)
        self._reader.join(timeout=5)
        assert self._process.stderr is not None
        self._process.stderr.close()


@dataclass(frozen=True)
class Load:
    """The measurements of a number of clients.

    Attributes:
        rate: The number of answers per second.
        seconds: The latency of every answer.
    """

    rate: float
    seconds: Sequence[float]

    def percentile_ms(self, percent: float) -> float:
        """Return a percentile of the latency in milliseconds."""
        ordered = sorted(self.seconds)
        return 1000 * ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def unwind_on_sigterm() -> None:
    """End the program at SIGTERM as at Ctrl-C, so that the servers which it started are ended."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


SendRequest = Callable[[], Awaitable[None]]


async def closed_loop(clients: Sequence[SendRequest], seconds: float) -> Load:
    """Run clients that each send the next request as soon as they have an answer.

    Args:
        clients: The clients; each call sends one request and awaits its answer.
        seconds: The time in which requests are sent.
    """
    latencies: list[float] = []
    stop = time.perf_counter() + seconds

    async def work(send: SendRequest) -> None:
        while (started := time.perf_counter()) < stop:
            await send()
            latencies.append(time.perf_counter() - started)

    started = time.perf_counter()
    await asyncio.gather(*(work(client) for client in clients))
    return Load(len(latencies) / (time.perf_counter() - started), latencies)


class HttpClient:
    """One keep-alive connection that posts the same body again and again."""

    def __init__(self, port: int, path: str, body: bytes, content_type: str) -> None:
        self._port = port
        self._request = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {content_type}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode() + body
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def send(self) -> None:
        """Post the body and read the answer.

        Raises:
            RuntimeError: The answer is not 200.
        """
        if self._reader is None or self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writer.write(self._request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length:")
        )
        body = await self._reader.readexactly(length)
        if head[9:12] != b"200":
            raise RuntimeError(f"answered {head[9:12]!r}: {body[:200]!r}")

    def close(self) -> None:
        """Close the connection."""
        if self._writer is not None:
            self._writer.close()


def median(values: Sequence[float]) -> float:
    """Return the median of the rounds, on which one disturbed round has little effect."""
    return statistics.median(values)


def hardware() -> str:
    """Return cores and processor as part of a file's name."""
    return name_for_files(f"{CORES} cores {processor_name()}")


def report_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser of a measurement's options, of which ``--reports`` is one.

    Args:
        description: The text of ``--help``, printed as it is: the docstring of the measurement.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--reports", type=Path, default=REPORTS, help="directory that the report is written to"
    )
    return parser


def write_report(directory: Path, name: str, content: dict[str, Any]) -> Path:
    """Write a report as JSON, with versions and load of the machine.

    Args:
        directory: The directory of reports.
        name: The name of the measurement; hardware and date are added.
        content: The figures.

    Returns:
        The path of the report.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{name}_{hardware()}_{date.today().isoformat()}.json"
    versions = {
        **({"openvino": version("openvino")} if find_spec("openvino") else {}),
        "omnivec2-serve": __version__,
        "onnxruntime": version("onnxruntime"),
        "tritonclient": version("tritonclient"),
        "python": platform.python_version(),
    }
    load = os.getloadavg()[0]
    whole = {**content, "load_average_at_the_end": round(load, 1), "versions": versions}
    path.write_text(json.dumps(whole, indent=1) + "\n")
    return path
