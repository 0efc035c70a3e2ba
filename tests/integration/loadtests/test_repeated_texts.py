"""The measurement of kept answers works, and its figures are those of the requests it sent."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from loadtests.repeated_texts import draw_texts, make_texts
from tests.support.documents import ROOT
from tests.support.model_repositories.tiny_models import tiny_heads, write_repository


def test_texts_repeat_by_zipfs_law() -> None:
    texts = make_texts(100, np.random.default_rng(0))
    assert len(set(texts)) == 100
    drawn = draw_texts(texts, 1.0, np.random.default_rng(1))
    counts = np.array([drawn.count(text) for text in texts[:4]])
    assert np.allclose(counts / counts[0], [1, 1 / 2, 1 / 3, 1 / 4], rtol=0.1)


def test_a_service_with_a_cache_is_compared_with_one_without(tmp_path: Path) -> None:
    heads = [head for head in tiny_heads() if head.route == "text/embedding"]
    repository = write_repository(tmp_path / "repository", heads)
    command = [
        *(sys.executable, "-m", "loadtests.repeated_texts", "--model-repo", str(repository)),
        *("--texts", "20", "--seconds", "1", "--rounds", "1", "--clients", "2"),
        *("--reports", str(tmp_path)),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (report,) = tmp_path.glob("repeated-texts_*.json")
    figures = json.loads(report.read_text())
    assert figures["largest_difference"] <= 1e-6
    assert "hit" not in figures["without"]
    kept = figures["with"]
    assert kept["hit"]["share"] + kept["miss"]["share"] == pytest.approx(1.0, abs=1e-3)
    # Only the first request for each text can miss, or two that ask at the same time.
    assert kept["miss"]["share"] * kept["requests"] <= 41
