"""Tables of the model card, made of a results file."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs import evaluated
from docs.evaluated import aims, figures, unseen
from docs.head_tables import reference_specs
from omnivec2.training.evaluation.record.results_file import (
    Figure,
    FigureKind,
    results_now,
    write_results,
)


def _figure(route: str, kind: FigureKind, value: float, dataset: str = "a set") -> Figure:
    return Figure(
        route=route, kind=kind, dataset=dataset, samples=50, metric="accuracy", value=value,
        low=value - 0.05, high=value + 0.05, higher_is_better=True, simple={"linear": 0.5},
    )  # fmt: skip


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    found = [
        _figure("video/action", FigureKind.TEST, 0.52),
        _figure("video/action", FigureKind.FIVE_FOLD, 0.72),
        _figure("text/embedding", FigureKind.UNSEEN, 0.9, "pairs"),
    ]
    results = results_now(found, model="reference", checkpoint="c" * 64, engine="auto")
    write_results(results, tmp_path)
    monkeypatch.setattr(evaluated, "RESULTS", tmp_path)
    return tmp_path


def test_heads_that_were_measured_have_intervals_and_others_the_figures_of_their_spec(
    measured: Path,
) -> None:
    text = figures()
    assert "| `video/action` | a set | 50 | accuracy | **0.52** | 0.47 to 0.57 |" in text
    assert "| `video/action` | a set | 50 | accuracy | **0.72** |" in text
    assert "| `text/sentiment` |" in text
    assert "engine auto, checkpoint cccccccccccc" in text
    assert "| `text/embedding` | pairs |" in unseen()


def test_heads_of_several_files_are_named_beside_what_they_were_measured_with(
    measured: Path,
) -> None:
    found = [_figure(route, FigureKind.TEST, 0.9) for route in ("video/action", "imu/activity")]
    older = results_now(found, model="reference", checkpoint="d" * 64, engine="auto")
    write_results(older.model_copy(update={"created": "2020-01-01T00:00:00+00:00"}), measured)
    text = figures()
    assert "| `video/action` | a set | 50 | accuracy | **0.52** |" in text
    assert "| `imu/activity` | a set | 50 | accuracy | **0.9** |" in text
    assert "`imu/activity`: Measured: 2020-01-01" in text
    assert "`text/embedding`, `video/action`: Measured: " in text


def test_aims_are_compared_with_the_kind_of_figure_they_are_for(
    measured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = measured / "published.yaml"
    entries = [f"{spec.route}: {{aim: -1000, published: none}}\n"
               for spec in reference_specs()
               if not spec.is_embedding and spec.route != "video/action"]  # fmt: skip
    errors = tuple(
        spec.route for spec in reference_specs() for metric in spec.metrics[:1]
        if not metric.higher_is_better
    )  # fmt: skip
    lines = [line.replace("-1000", "1000") if line.startswith(errors) else line for line in entries]
    action = "video/action: {aim: 0.75, kind: five-fold, published: none, why: few clips}\n"
    embedding = "text/embedding: {unseen: {pairs: {aim: 0.8}}}\n"
    file.write_text("".join(lines) + action + embedding)
    monkeypatch.setattr(evaluated, "PUBLISHED", file)
    text = aims()
    assert "missed by 0.03 (inside the interval): few clips" in text
    assert "| `text/embedding` | pairs | accuracy | **0.9** | 0.8 |  | reached |" in text
    file.write_text(file.read_text().replace(", why: few clips", ""))
    with pytest.raises(SystemExit, match="without a reason"):
        aims()
    file.write_text("video/action: {published: none}\n")
    with pytest.raises(SystemExit, match="has no aim"):
        aims()
