"""An engine's metrics beside those of float32."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from omnivec2.errors import OmniVecError
from omnivec2.training.evaluation.metrics.head_result import HeadResult
from omnivec2_cli.engine_comparison import (
    compare_results,
    comparison_table,
    require_kept,
    write_comparison,
)

ACCURACY = HeadResult("text/sentiment", "SST-2", "test", 911, "accuracy", 0.89, {}, True)
ERROR = HeadResult("graph/solubility", "ESOL", "test", 102, "rmse", 0.75, {}, False)


def lost(result: HeadResult, value: float) -> float:
    (pair,) = compare_results([result], [replace(result, value=value)])
    return pair.points_lost


def test_a_point_is_a_hundredth_of_a_score_or_of_the_error_in_float32() -> None:
    assert lost(ACCURACY, 0.88) == pytest.approx(1)
    assert lost(ACCURACY, 0.90) == pytest.approx(-1)
    assert lost(ERROR, 0.75 * 1.02) == pytest.approx(2)
    assert lost(ERROR, 0.75 * 0.98) == pytest.approx(-2)


def test_an_engine_that_loses_more_than_half_a_point_is_refused_with_its_heads() -> None:
    kept = compare_results([ACCURACY, ERROR], [replace(ACCURACY, value=0.886), ERROR])
    require_kept(kept, "fast int8")
    worse = compare_results([ACCURACY, ERROR], [replace(ACCURACY, value=0.88), ERROR])
    with pytest.raises(OmniVecError, match=r"fast int8 loses .*: text/sentiment \(accuracy -1.00"):
        require_kept(worse, "fast int8")


def test_a_metric_that_is_no_number_is_a_loss() -> None:
    with pytest.raises(OmniVecError, match="graph/solubility"):
        require_kept(compare_results([ERROR], [replace(ERROR, value=float("nan"))]), "fast")


def test_results_of_other_samples_are_not_compared() -> None:
    with pytest.raises(AssertionError, match="not the same measurement"):
        compare_results([ACCURACY], [replace(ACCURACY, samples=10)])


def test_the_table_and_the_file_show_both_values_and_the_difference(tmp_path: Path) -> None:
    compared = compare_results([ACCURACY], [replace(ACCURACY, value=0.88)])
    printed = io.StringIO()
    Console(file=printed, width=120).print(comparison_table(compared, "fast int8"))
    for text in ("text/sentiment", "0.8900", "0.8800", "-1.00", "fast int8"):
        assert text in printed.getvalue()
    path = tmp_path / "new" / "figures.json"
    write_comparison(compared, "fast int8", path)
    document = json.loads(path.read_text())
    assert document["engine"] == "fast int8"
    (row,) = document["results"]
    assert (row["reference"], row["value"], row["points"]) == (0.89, 0.88, pytest.approx(-1))
