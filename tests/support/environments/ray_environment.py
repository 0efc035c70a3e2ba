"""The environment with Ray, which `make install-ray` makes, and clusters of it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.documents import ROOT

PYTHON = ROOT / ".venv-ray" / "bin" / "python"

ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(ROOT),
    "RAY_USAGE_STATS_ENABLED": "0",
    # Else Ray replaces a loopback address by one that other machines reach.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    # On a machine that does other things besides, a node's helpers take long to start.
    "RAY_agent_register_timeout_ms": "120000",
    "RAY_raylet_start_wait_time_s": "120",
    "RAY_worker_niceness": "0",
    "OMNIVEC2_ENGINE": "onnxruntime",
    "OMNIVEC2_ENGINE_PRECISION": "fp32",
}


class RayCluster:
    """A cluster without workers; see ``tests.support.environments.ray_cluster``.

    Attributes:
        address: the address of its head.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.address: str = self._read()["address"]

    def add_node(self) -> None:
        """Start a node with one core."""
        self._tell("add")

    def kill_node(self) -> None:
        """End the processes of the node that was added first."""
        self._tell("kill")

    def _tell(self, command: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        self._read()

    def _read(self) -> dict:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the cluster ended"
        return json.loads(line)


@contextmanager
def running_cluster(log: Path) -> Iterator[RayCluster]:
    """Run a cluster on loopback until the block ends.

    Args:
        log: the file for what it prints as errors.
    """
    if not PYTHON.exists():
        pytest.skip("Ray is not installed: make install-ray")
    with log.open("w") as errors:
        process = subprocess.Popen(
            [str(PYTHON), str(ROOT / "tests" / "support" / "environments" / "ray_cluster.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=ENVIRONMENT,
        )
        try:
            yield RayCluster(process)
        finally:
            try:
                process.communicate(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
