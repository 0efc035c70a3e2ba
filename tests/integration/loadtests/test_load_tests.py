"""Locust against real servers: thresholds that hold, thresholds that break, several processes."""

from __future__ import annotations

import csv
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.documents import ROOT
from tests.support.gateways.altered_gateway import altered_gateway
from tests.support.gateways.servers import RunningServer
from tests.support.model_repositories.tiny_models import tiny_heads, write_repository

pytestmark = pytest.mark.alone

SECONDS = 8
P99_RATIO = 3.0
"""The allowed ratio of two short runs on a noisy machine; that of the slowed build is double."""


def load(url: str, output: Path, *options: str) -> tuple[int, str, dict[str, Any]]:
    """Run a load test; return its exit code, its output and its summary."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "loadtests.load", "--url", url, "--output", str(output)),
            *("--run-time", f"{SECONDS}s", *options),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    summaries = sorted(output.glob("*/summary.json"))
    return done.returncode, done.stdout, json.loads(summaries[-1].read_text()) if summaries else {}


def broken_in(said: str) -> list[str]:
    return [line for line in said.splitlines() if "broken" in line]


@pytest.fixture
def profile(tmp_path: Path) -> str:
    path = tmp_path / "own.toml"
    path.write_text(
        'description = "own"\n[mix]\n"text/sentiment" = 1\n"graph/solubility" = 1\n'
        '[shape]\nkind = "constant"\nrate = 12\npatience_seconds = 4\n'
        f"[thresholds]\nagainst_baseline = {{ p99_ratio = {P99_RATIO}, rate_ratio = 0.5 }}\n"
    )
    return str(path)


def test_the_mixed_profile_passes_and_leaves_its_reports(
    reference_server: str, tmp_path: Path
) -> None:
    code, said, summary = load(reference_server, tmp_path)
    assert code == 0, broken_in(said) or said
    assert len(summary["modalities"]) == 13
    assert summary["stages"].keys() >= {"decode", "preprocess", "queue", "compute", "postprocess"}
    assert summary["answered"] == summary["requests"] > 5 * SECONDS
    (page,) = tmp_path.glob("*/report.html")
    assert "/predict/image/detection" in page.read_text()
    (table,) = tmp_path.glob("*/report_stats.csv")
    rows = {(row["Type"], row["Name"]) for row in csv.DictReader(table.read_text().splitlines())}
    assert {("stage", "compute"), ("stage", "image/compute")} < rows


@pytest.mark.timeout(600)
def test_a_slowed_down_build_breaks_thresholds_that_the_real_one_holds(
    profile: str, tmp_path: Path
) -> None:
    repository = write_repository(tmp_path / "repository", tiny_heads())
    with altered_gateway(repository) as url:
        code, said, first = load(url, tmp_path / "first", "--profile", profile)
        assert code == 0, broken_in(said) or said
        (earlier,) = (tmp_path / "first").glob("*/summary.json")
        against = ("--profile", profile, "--baseline", str(earlier))
        code, said, _ = load(url, tmp_path / "second", *against)
        assert code == 0, broken_in(said) or said
    delay = 2 * P99_RATIO * first["p99_ms"] / 1000
    with altered_gateway(repository, delay_seconds=delay) as url:
        code, said, slow = load(url, tmp_path / "slow", *against)
    assert code == 1, said[-2000:]
    assert "threshold broken: p99_ms against the baseline" in said
    assert slow["failed"] == 0
    assert slow["stages"]["compute"]["p50_ms"] < first["p99_ms"]


def test_a_wrong_answer_fails_the_run(profile: str, tmp_path: Path) -> None:
    repository = write_repository(tmp_path / "repository", tiny_heads())
    with altered_gateway(repository, fault="an undocumented answer") as url:
        code, said, summary = load(url, tmp_path / "out", "--profile", profile)
    assert code == 1, said[-2000:]
    assert "threshold broken: error_rate" in said
    assert any("wrong schema" in error for error in summary["errors"])


def test_another_machine_is_not_loaded_unasked(tmp_path: Path) -> None:
    code, said, _ = load("http://192.0.2.1:8080", tmp_path)
    assert code == 2
    assert "--allow-remote" in said


def test_without_a_service_it_says_what_to_start(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    code, said, _ = load(f"http://127.0.0.1:{port}", tmp_path)
    assert code == 2
    assert "make serve" in said


def test_two_workers_share_the_load_of_one_master(
    embedded_tiny: RunningServer, profile: str, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    common = [
        *(sys.executable, "-m", "locust", "-f", "loadtests/locustfile.py"),
        *("--host", embedded_tiny.url, "--load-profile", profile),
    ]
    workers = [
        subprocess.Popen(
            [*common, "--worker", "--master-port", port],
            cwd=ROOT,
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(2)
    ]
    summary = tmp_path / "summary.json"
    try:
        master = subprocess.run(
            [
                *(*common, "--master", "--master-bind-host", "127.0.0.1"),
                *("--master-bind-port", port, "--expect-workers", "2", "--headless"),
                *("--expect-workers-max-wait", "60", "--only-summary", "--stop-timeout", "10"),
                *("--run-time", f"{SECONDS}s", "--summary", str(summary)),
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert master.returncode == 0, broken_in(master.stdout) or master.stderr
        assert [worker.wait(30) for worker in workers] == [0, 0]
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    seen = json.loads(summary.read_text())
    assert seen["answered"] > 6 * SECONDS, seen
    assert seen["modalities"].keys() == {"text", "graph"}
    assert seen["stages"]["compute"]["count"] > 0
