"""Tables of speed from reports."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from loadtests.benchmarks.service_ratios import Ratios, Round
from loadtests.peers.compare import OURS, Measured, server_rows
from loadtests.support.http_load import HttpFigures
from tests.support.documents import ROOT


@pytest.fixture
def speed(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    return importlib.import_module("measured_speed")


def write(directory: Path, hardware: str, day: str, rate: float) -> None:
    ours, theirs = HttpFigures(rate, 80, 90, 99), HttpFigures(100, 160, 170, 199)
    loops = [Ratios("text/sentiment", "a loop, batch 4", [Round(90, 100, 5, 4)])]
    report = {
        "route": "image/classification",
        "engine": "openvino bf16",
        "clients": 16,
        "rounds": 1,
        "servers": server_rows([{OURS: Measured(ours, ours), "A peer": Measured(theirs, theirs)}]),
        "loops": [result.summary() for result in loops],
        "peers": {"bentoml": "1.4"},
        "versions": {"python": "3.11"},
        "load_average_at_the_end": 1.2,
    }
    path = directory / f"peers_{hardware}_{day}.json"
    path.write_text(json.dumps(report))


def test_servers_and_loops_have_a_row_each(speed: Any, tmp_path: Path) -> None:
    write(tmp_path, "2-cores-AMD-EPYC", "2026-11-29", 150)
    lines = speed.peers(tmp_path).splitlines()
    assert lines[0].startswith("**2 cores AMD EPYC**, 2026-11-29: `image/classification` with open")
    assert "| **OmniVec2 Serve** | 150 | 80 / 99 |  | 80 |  |" in lines
    assert "| A peer | 100 | 160 / 199 | 1.50 (1.50–1.50) | 160 | 2.00 (2.00–2.00) |" in lines
    (loop,) = (line for line in lines if line.startswith("| `text/sentiment`"))
    assert "| 90 | 100 | 0.90 (0.90–0.90) | 5 | 4 | 0.80 (0.80–0.80) | a loop, batch 4 |" in loop
    assert "python 3.11, bentoml 1.4" in lines[-1]


def test_of_each_hardware_the_newest_report_counts(speed: Any, tmp_path: Path) -> None:
    write(tmp_path, "2-cores-AMD", "2026-11-29", 150)
    write(tmp_path, "2-cores-AMD", "2026-12-01", 170)
    write(tmp_path, "2-cores-Intel", "2026-11-30", 160)
    text = speed.peers(tmp_path)
    assert "2026-11-29" not in text
    assert "| 170 |" in text
    assert "| 160 |" in text


def test_without_a_report_there_is_a_sentence(speed: Any, tmp_path: Path) -> None:
    assert speed.peers(tmp_path).startswith("No report")
