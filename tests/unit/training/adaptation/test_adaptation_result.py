"""What an adaptation found: its gain, and results in a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from omnivec2.errors import InvalidInputError
from omnivec2.training.adaptation.adaptation_result import (
    AdaptationResult,
    adapted_table,
    read_json,
    write_json,
)


def test_a_gain_is_over_the_better_simple_model() -> None:
    lower = AdaptationResult(
        "graph/x", "x", 1, 10, 5, "rmse", 2.0, 2.0, {"majority": 4.0, "linear": 1.5}, "", (), 0,
        {"total": 1.0, "cpu": 1.0}, 0, "",
    )  # fmt: skip
    assert lower.gain == -0.5
    assert adapted_table([lower]).row_count == 1


def test_results_are_kept_one_per_route(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    result = AdaptationResult(
        "graph/x", "x", 1, 10, 5, "rmse", 2.0, 2.0, {"majority": 4.0, "linear": 1.5}, "", (), 0,
        {"total": 1.0, "cpu": 1.0}, 0, "",
    )  # fmt: skip
    for route, value in (("graph/x", 2.0), ("graph/y", 3.0), ("graph/x", 1.0)):
        write_json(replace(result, route=route, value=value), file, threads=2)
    found = [(entry["route"], entry["value"], entry["gain"]) for entry in read_json(file)]
    assert found == [("graph/y", 3.0, -1.5), ("graph/x", 1.0, 0.5)]
    file.write_text("{}")
    with pytest.raises(InvalidInputError, match="expected a list"):
        read_json(file)
