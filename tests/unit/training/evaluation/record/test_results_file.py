"""Results files and the tables that are made of them."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from omnivec2.errors import ArtifactError
from omnivec2.training.evaluation.record.results_file import (
    Figure,
    FigureKind,
    ResultsFile,
    joined_with_earlier,
    newest_results,
    results_now,
    write_results,
)
from omnivec2.training.evaluation.record.results_tables import (
    html,
    markdown,
    terminal_table,
    write_tables,
)

FIGURE = Figure(
    route="audio/events", kind=FigureKind.TEST, dataset="ESC-10 fold 4", samples=80,
    metric="accuracy", value=0.9, low=0.82, high=0.96, higher_is_better=True,
    simple={"linear": 0.75, "majority": 0.1}, ece=0.041,
)  # fmt: skip


def _results() -> ResultsFile:
    fold = FIGURE.model_copy(update={"kind": FigureKind.FIVE_FOLD, "ece": None})
    return results_now([FIGURE, fold], model="tiny", checkpoint="abc", engine="auto")


def test_results_are_named_by_model_hardware_and_date_and_read_again(tmp_path: Path) -> None:
    results = _results()
    file = write_results(results, tmp_path)
    assert file.name.startswith("tiny_")
    assert "-cores-" in file.name
    assert file.name.endswith(f"_{results.created[:10]}.json")
    older = results.model_copy(update={"created": "2020-01-01T00:00:00+00:00"})
    write_results(older, tmp_path)
    assert newest_results(tmp_path, "tiny") == (results,)
    assert newest_results(tmp_path, "other") == ()
    assert "scikit-learn" in results.versions


def test_every_head_has_the_figures_of_the_newest_file_that_has_it(tmp_path: Path) -> None:
    results = _results()
    write_results(results, tmp_path)
    other = FIGURE.model_copy(update={"route": "image/object"})
    stale = FIGURE.model_copy(update={"value": 0.1})
    older = results.model_copy(
        update={"created": "2020-01-01T00:00:00+00:00", "figures": (stale, other)}
    )
    write_results(older, tmp_path)
    newest, rest = newest_results(tmp_path, "tiny")
    assert newest == results
    assert rest.figures == (other,)
    assert rest.created == older.created


def test_a_measurement_in_parts_is_joined_unless_its_conditions_differ(tmp_path: Path) -> None:
    first = _results()
    assert joined_with_earlier(first, tmp_path) == first
    write_results(first, tmp_path)
    better = FIGURE.model_copy(update={"value": 0.95})
    again = first.model_copy(update={"figures": (better,)})
    assert joined_with_earlier(again, tmp_path).figures == (better,)
    other = FIGURE.model_copy(update={"route": "image/object"})
    second = first.model_copy(update={"figures": (other,)})
    assert joined_with_earlier(second, tmp_path).figures == (*first.figures, other)
    changed = second.model_copy(update={"checkpoint": "def"})
    with pytest.raises(ArtifactError, match="another checkpoint"):
        joined_with_earlier(changed, tmp_path)


def test_a_gain_is_over_the_best_simple_model_and_may_be_within_noise() -> None:
    assert FIGURE.gain == pytest.approx(0.15)
    assert not FIGURE.is_within_noise
    near = FIGURE.model_copy(update={"simple": {"linear": 0.88}})
    assert near.is_within_noise
    error = FIGURE.model_copy(update={"simple": {"linear": 0.95}, "higher_is_better": False})
    assert error.gain == pytest.approx(0.05)
    assert error.is_within_noise
    alone = FIGURE.model_copy(update={"simple": {}})
    assert alone.gain is None
    assert not alone.is_within_noise


def test_tables_show_value_interval_simple_models_calibration_and_published_figures(
    tmp_path: Path,
) -> None:
    results, published = _results(), {"audio/events": "0.727 <random> forest"}
    out = Console(file=io.StringIO(), width=250)
    out.print(terminal_table(results.figures, published))
    assert isinstance(out.file, io.StringIO)
    shown = out.file.getvalue()
    for text in (shown, markdown(results, published), html(results, published)):
        for part in ("audio/events", "0.82 to 0.96", "linear 0.75", "0.041", "forest"):
            assert part in text
    assert "&lt;random&gt;" in html(results, published)
    assert markdown(results, published).count("## ") == 2
    files = write_tables(results, published, tmp_path)
    assert [file.suffix for file in files] == [".md", ".html"]
