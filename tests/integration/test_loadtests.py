"""The measurements run to the end and write their reports; what they measure is for people."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.documents import ROOT

QUICK = {
    "throughput": ["--rounds", "1", "--seconds", "0.5", "--clients", "4", "--at-least", "0"],
    "tasks": ["--rounds", "1", "--seconds", "0.3", "--at-most", "100", "--no-triton"],
    "layouts": ["--rounds", "1", "--seconds", "0.2"],
}


@pytest.mark.parametrize("name", QUICK)
def test_a_measurement_writes_a_report_with_versions(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", f"loadtests.{name}", *QUICK[name], "--reports", str(tmp_path)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (report,) = tmp_path.iterdir()
    content = json.loads(report.read_text())
    assert content["what"]
    assert content["versions"]["onnxruntime"]
    assert content.get("rows") or content["rounds"]


def test_samples_of_different_tasks_meet_in_the_trunk_of_triton(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "loadtests.mixed",
        "--seconds",
        "4",
        "--reports",
        str(tmp_path),
    ]
    subprocess.run(command, cwd=ROOT, timeout=200, check=True)
    (report,) = tmp_path.iterdir()
    rows = {(r["runtime"], r["layout"]): r for r in json.loads(report.read_text())["rows"]}
    assert rows["Triton", "shared"]["trunk"] > 1.5
    assert rows["Triton", "fused"]["others"] < 1.2
