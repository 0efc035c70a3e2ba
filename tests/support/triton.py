"""Starting a real Triton server for a test, on loopback, on free ports."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import httpx

from tests.support.documents import ROOT

_LAUNCHER = ROOT / "deploy" / "triton" / "run_server.py"
_ENVIRONMENT = ROOT / ".venv-triton"
_LOG_BYTES = 2**22


class TritonServer:
    """A Triton server that can be killed and started again on the same ports.

    Attributes:
        http: address with its scheme, e.g. ``http://127.0.0.1:8000``.
        grpc: address without one, as gRPC clients take it.
        metrics: address without one, as Prometheus takes it.
    """

    def __init__(self, model_repo: Path, options: tuple[str, ...], log: IO[bytes]) -> None:
        http, grpc, metrics = free_ports(3)
        self.http = f"http://127.0.0.1:{http}"
        self.grpc = f"127.0.0.1:{grpc}"
        self.metrics = f"127.0.0.1:{metrics}"
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._command = [
            *(str(_ENVIRONMENT / "bin" / "python"), str(_LAUNCHER)),
            *("--model-repo", str(model_repo), "--http-port", str(http)),
            *("--grpc-port", str(grpc), "--metrics-port", str(metrics), *options),
        ]

    @property
    def log(self) -> str:
        """What the server wrote so far."""
        return os.pread(self._log.fileno(), _LOG_BYTES, 0).decode(errors="replace")

    def start(self, wait_seconds: float = 240) -> None:
        """Start it, and wait until it says that it is ready."""
        self._process = subprocess.Popen(
            self._command, cwd=ROOT, stdout=self._log, stderr=self._log
        )
        last = time.monotonic() + wait_seconds
        while time.monotonic() < last:
            if self._process.poll() is not None:
                raise AssertionError(f"Triton ended with {self._process.returncode}:\n{self.log}")
            if self.is_ready():
                return
            time.sleep(0.1)
        raise AssertionError(f"Triton was not ready after {wait_seconds:g} s:\n{self.log}")

    def is_ready(self) -> bool:
        """Whether it answers, and says that it is ready."""
        try:
            return httpx.get(f"{self.http}/v2/health/ready", timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    def models(self) -> dict[str, dict[str, str]]:
        """The repository index: model -> its ``state`` and, if it is unavailable, ``reason``."""
        entries = httpx.post(f"{self.http}/v2/repository/index", timeout=10).json()
        return {entry["name"]: entry for entry in entries}

    def kill(self) -> None:
        """End it as a crash would: at once, without a word to anyone."""
        assert self._process
        self._process.kill()
        self._process.wait(30)

    def stop(self) -> None:
        """End it in an orderly way, or at once if that takes too long."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self.kill()


@contextmanager
def running_triton(
    model_repo: Path, *options: str, wait_seconds: float = 240
) -> Iterator[TritonServer]:
    """Serve a model repository with Triton until the block ends.

    Args:
        model_repo: directory of models.
        options: of ``deploy/triton/run_server.py``; after ``--``, of tritonserver.
        wait_seconds: longest that loading may take.
    """
    if not (_ENVIRONMENT / ".installed").exists():
        raise AssertionError("there is no Triton server to test with: run `make triton-install`")
    with tempfile.TemporaryFile() as log:
        server = TritonServer(model_repo, options, log)
        try:
            server.start(wait_seconds)
            yield server
        finally:
            server.stop()


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports: list[int] = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports
