"""A real Prometheus with the project's own configuration, scraping servers of a test."""

from __future__ import annotations

import math
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from loadtests.support.free_ports import free_ports
from tests.support.documents import ROOT

FOLDER = ROOT / "deploy" / "prometheus"


def tool(name: str) -> str:
    """Path of one of Prometheus' programs."""
    if found := shutil.which(name):
        return found
    raise AssertionError(f"there is no {name} to test with: `apt-get install prometheus`")


class Prometheus:
    """A server that answers queries."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=10)

    def get(self, path: str, **parameters: str) -> Any:
        """The data of an answer of its API."""
        answer = self._client.get(f"/api/v1/{path}", params=parameters)
        body = answer.json()
        assert body["status"] == "success", f"{parameters}: {body.get('error')}"
        return body["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an expression that have a number now."""
        result = self.get("query", query=expression)["result"]
        return [series for series in result if not math.isnan(float(series["value"][1]))]

    def is_ready(self) -> bool:
        """Whether it answers queries."""
        try:
            return self._client.get("/-/ready").status_code == 200
        except httpx.TransportError:
            return False

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


@contextmanager
def running_prometheus(targets: Mapping[str, Sequence[str]], folder: Path) -> Iterator[Prometheus]:
    """Run Prometheus until the block ends.

    Args:
        targets: job of the project's configuration -> ``host:port`` to scrape in its place.
        folder: for its data.
    """
    program = tool("prometheus")
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    config["global"] = {name: "1s" for name in config["global"]}
    for job in config["scrape_configs"]:
        job["static_configs"] = [{"targets": list(targets[job["job_name"]])}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    shutil.copy(FOLDER / "alerts.yml", folder)
    (port,) = free_ports(1)
    command = [
        program,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    process = subprocess.Popen(command)
    prometheus = Prometheus(f"http://127.0.0.1:{port}")
    try:
        last = time.monotonic() + 20
        while not prometheus.is_ready():
            assert process.poll() is None, f"Prometheus ended with {process.returncode}"
            assert time.monotonic() < last, "Prometheus was not ready after 20 s"
            time.sleep(0.1)
        yield prometheus
    finally:
        prometheus.close()
        process.terminate()
        process.wait(20)
