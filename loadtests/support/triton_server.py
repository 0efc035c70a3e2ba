"""Start a real Triton server for a measurement or a test, on loopback, on free ports."""

from __future__ import annotations

import os
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import httpx

from loadtests.support.free_ports import free_ports
from loadtests.support.measured_gateway import ROOT

_LAUNCHER = ROOT / "deploy" / "triton" / "run_server.py"
_ENVIRONMENT = ROOT / ".venv-triton"
_LOG_BYTES = 2**22

_NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Nobody is trusted, as plain HTTP needs; httpx would read all authorities at every call, 30 ms."""


class TritonServerError(Exception):
    """The server is not installed, ended, or was not ready in time; with the end of its log."""


class TritonServer:
    """A Triton server that can be killed and restarted on the same ports.

    Args:
        model_repo: The directory of models.
        options: The options of ``deploy/triton/run_server.py``.
        log: The file that the server writes to.
        host: The address of loopback to listen on.
        ports: The ports for HTTP, gRPC and metrics; free ones by default.

    Attributes:
        http: The address for HTTP with its scheme, e.g. ``http://127.0.0.1:8000``.
        grpc: The address for gRPC clients, without a scheme.
        metrics: The address for Prometheus, without a scheme.
    """

    def __init__(
        self,
        model_repo: Path,
        options: tuple[str, ...],
        log: IO[bytes],
        *,
        host: str = "127.0.0.1",
        ports: Sequence[int] = (),
    ) -> None:
        http, grpc, metrics = ports or free_ports(3)
        self.http = f"http://{host}:{http}"
        self.grpc = f"{host}:{grpc}"
        self.metrics = f"{host}:{metrics}"
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._command = [
            *(str(_ENVIRONMENT / "bin" / "python"), str(_LAUNCHER)),
            *("--model-repo", str(model_repo), "--host", host, "--http-port", str(http)),
            *("--grpc-port", str(grpc), "--metrics-port", str(metrics), *options),
        ]

    @property
    def log(self) -> str:
        """The server's output so far."""
        return os.pread(self._log.fileno(), _LOG_BYTES, 0).decode(errors="replace")

    def start(self, wait_seconds: float = 240) -> None:
        """Start the server and wait until it is ready.

        Args:
            wait_seconds: The longest time until it is ready.

        Raises:
            TritonServerError: It ended, or was not ready in time.
        """
        self._process = subprocess.Popen(
            self._command, cwd=ROOT, stdout=self._log, stderr=self._log
        )
        deadline = time.monotonic() + wait_seconds
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise TritonServerError(
                    f"Triton ended with {self._process.returncode}:\n{self.log}"
                )
            if self.is_ready():
                return
            time.sleep(0.1)
        raise TritonServerError(f"Triton was not ready after {wait_seconds:g} s:\n{self.log}")

    def is_ready(self) -> bool:
        """Whether the server answers that it is ready."""
        try:
            answer = httpx.get(f"{self.http}/v2/health/ready", timeout=2, verify=_NO_AUTHORITIES)
            return answer.status_code == 200
        except httpx.TransportError:
            return False

    def models(self) -> dict[str, dict[str, str]]:
        """Return the repository index: model -> ``state``, and ``reason`` if unavailable."""
        entries = httpx.post(f"{self.http}/v2/repository/index", timeout=10).json()
        return {entry["name"]: entry for entry in entries}

    def kill(self) -> None:
        """End the server as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)

    def stop(self) -> None:
        """Shut the server down, or kill it if that takes too long."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self.kill()


@contextmanager
def running_triton(
    model_repo: Path,
    *options: str,
    wait_seconds: float = 240,
    host: str = "127.0.0.1",
    ports: Sequence[int] = (),
) -> Iterator[TritonServer]:
    """Serve a model repository with Triton until the block ends.

    Args:
        model_repo: The directory of models.
        options: The options of ``deploy/triton/run_server.py``; after ``--``, of tritonserver.
        wait_seconds: The longest time that loading may take.
        host: The address of loopback to listen on.
        ports: The ports for HTTP, gRPC and metrics; free ones by default.

    Raises:
        TritonServerError: No server is installed here, or it did not become ready.
    """
    if not (_ENVIRONMENT / ".installed").exists():
        raise TritonServerError("no Triton server is installed: run `make triton-install`")
    with tempfile.TemporaryFile() as log:
        server = TritonServer(model_repo, options, log, host=host, ports=ports)
        try:
            server.start(wait_seconds)
            yield server
        finally:
            server.stop()
