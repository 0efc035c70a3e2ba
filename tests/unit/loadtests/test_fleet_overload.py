from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from export.repository.layouts import Layout
from loadtests.fleet_overload import promises
from loadtests.support.paced_model import pace_model
from omnivec2.model_config import CONFIG_FILE, has_head_spec, read_config
from tests.support.model_repositories.tiny_models import classification, write_repository

ALLOWED = Namespace(factor=10.0, at_least=0.9, late_share=0.0)
KEPT: dict[str, Any] = {
    "sustained_per_second": {"before": 40.0, "after": 44.0},
    "sent_per_second": 400.0,
    "in_time_per_second": 39.0,
    "statuses": {"200": 780, "429": 7220},
}


def failing(**seen: Any) -> list[str]:
    return [check["name"] for check in promises({**KEPT, **seen}, ALLOWED) if not check["ok"]]


def test_what_is_promised_is_kept() -> None:
    assert failing() == []


@pytest.mark.parametrize(
    ("seen", "name"),
    [
        ({"sent_per_second": 300.0}, "load that arrived"),
        ({"in_time_per_second": 37.0}, "answered in time"),
        ({"statuses": {"200": 1, "504": 1}}, "admitted, but late (504)"),
        ({"statuses": {"200": 1, "503": 1}}, "neither 200, 429 nor 504"),
        ({"statuses": {"0": 1, "200": 1}}, "neither 200, 429 nor 504"),
    ],
)
def test_a_broken_promise_is_told(seen: dict[str, Any], name: str) -> None:
    assert failing(**seen) == [name]


def test_a_paced_head_keeps_its_spec_and_tensors(tmp_path: Path) -> None:
    head = classification("text/tone", "a", "b")
    root = write_repository(tmp_path, [head], Layout.FUSED)
    before = read_config(root / head.name / CONFIG_FILE)
    pace_model(root, head.name, 0.25)
    paced = read_config(root / head.name / CONFIG_FILE)
    assert (paced.input, paced.output) == (before.input, before.output)
    assert has_head_spec(paced)
    assert paced.backend == "python"
    assert paced.parameters["seconds_per_row"].string_value == "0.25"
    assert "TritonPythonModel" in (root / head.name / "1" / "model.py").read_text()
