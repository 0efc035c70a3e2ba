"""Starting the real gateway for a test: its own process, on loopback, on a free port."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from loadtests.support.triton_server import running_triton
from tests.support.documents import ROOT

EXACT = {"OMNIVEC2_ENGINE": "onnxruntime", "OMNIVEC2_ENGINE_PRECISION": "fp32"}
"""Tests compare answers closely, and must not depend on which engine is the fastest on a machine;
the choice of engines has tests of its own."""

PATIENT: Mapping[str, object] = {"max_queue_seconds": 60}
"""Beside other tests a machine is slow, and a gateway would refuse, rightly, what has to wait."""

_ADDRESS = re.compile(r"heads at (http://\S+)")
_METRICS_URL = re.compile(r"metrics at (\S+)")
_GRPC_ADDRESS = re.compile(r"gRPC at (\S+)")


@dataclass(frozen=True)
class RunningServer:
    """A gateway that said that it is ready.

    Attributes:
        url: The address at which it answers.
        process: The process that it runs in.
        grpc_address: The address of gRPC; empty if it serves none.
        metrics_url: The address of the metrics; empty if they have no port of their own.
    """

    url: str
    process: subprocess.Popen[bytes]
    grpc_address: str = ""
    metrics_url: str = ""

    @property
    def rss_bytes(self) -> int:
        """Memory of the process that is resident now."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def running_server(
    *options: str,
    settings: Mapping[str, object] | None = None,
    environment: Mapping[str, str] | None = None,
    port: int = 0,
    wait_seconds: float = 120,
    module: str = "omnivec2_cli.main",
) -> Iterator[RunningServer]:
    """Run ``omnivec2 serve`` with the given options until the block ends.

    Args:
        options: The options of the command.
        settings: The settings of the gateway, given in the environment.
        environment: Further variables of the environment.
        port: The port to listen on, 0 for a free one; a server with a given port is not waited for.
        wait_seconds: The longest time until it is ready.
        module: The module that is run, with the command's words.
    """
    given = PATIENT | dict(settings or {})
    variables = {f"OMNIVEC2_{name.upper()}": str(value) for name, value in given.items()}
    command = [sys.executable, "-m", module, "serve", "--port", str(port), *options]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **EXACT, "COLUMNS": "200", **variables, **(environment or {})},
            stdout=log,
            stderr=log,
            preexec_fn=_allow_interrupts,  # noqa: PLW1509 -- calls nothing that locks
        )
        try:
            if port:
                yield RunningServer(f"http://127.0.0.1:{port}", process)
            else:
                yield RunningServer(*_wait(process, log.fileno(), wait_seconds))
        finally:
            process.terminate()
            process.wait(30)


def _allow_interrupts() -> None:
    """Let a server be interrupted where a shell started the tests with interrupts ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def triton_gateway(model_repo: Path) -> Iterator[RunningServer]:
    """Run Triton on a model repository and ``omnivec2 serve`` before it."""
    with (
        running_triton(model_repo) as triton,
        running_server(
            "--runtime", "triton", "--triton", triton.grpc, "--grpc-port", "0"
        ) as server,
    ):
        yield server


def _wait(
    process: subprocess.Popen[bytes], log: int, seconds: float
) -> tuple[str, subprocess.Popen[bytes], str, str]:
    """The addresses that the server prints once it is ready."""
    last = time.monotonic() + seconds
    while time.monotonic() < last:
        text = os.pread(log, 2**20, 0).decode(errors="replace")
        if found := _ADDRESS.search(text):
            grpc = _GRPC_ADDRESS.search(text)
            metrics = _METRICS_URL.search(text)
            return found[1], process, grpc[1] if grpc else "", metrics[1] if metrics else ""
        if process.poll() is not None:
            raise AssertionError(f"the server ended with {process.returncode}:\n{text}")
        time.sleep(0.1)
    raise AssertionError(f"the server was not ready after {seconds:g} s:\n{text}")
