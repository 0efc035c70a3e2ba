from __future__ import annotations

import io
import resource
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from omnivec2.preprocess.formats.points import laz_worker

DATA = Path(__file__).parents[4] / "data" / "pointcloud"


def test_points_go_from_standard_input_to_standard_output_within_limits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits: dict[int, tuple[int, int]] = {}
    monkeypatch.setattr(resource, "setrlimit", limits.__setitem__)  # not those of the tests
    out = io.BytesIO()
    stdin = SimpleNamespace(buffer=io.BytesIO((DATA / "table.laz").read_bytes()))
    monkeypatch.setattr(sys, "stdin", stdin)
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=out))
    laz_worker.main()
    points = np.frombuffer(out.getvalue(), "<f8").reshape(-1, 3)
    expected = np.load(DATA / "table.npy")
    assert np.allclose(points - points.mean(axis=0), expected - expected.mean(axis=0), atol=2e-3)
    assert limits[resource.RLIMIT_AS] == (2 * 2**30, 2 * 2**30)
    assert limits[resource.RLIMIT_CPU] == (20, 20)
