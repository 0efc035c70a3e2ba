"""Outputs of heads that are computed once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from omnivec2.preprocess import Array
from omnivec2.spec import TaskFamily
from omnivec2.training.evaluation.graph_sessions import HeadGraph, HeadRunner
from omnivec2.training.evaluation.record import kept_answers
from omnivec2.training.evaluation.record.kept_answers import KeptGraph
from tests.support.model_repositories import tiny_models


class _Doubling:
    """A graph that counts its runs."""

    def __init__(self) -> None:
        self.runs = 0
        spec = tiny_models.head_spec("image/embedding", TaskFamily.EMBEDDING, {"embedding": (2,)})
        self.model = HeadGraph(spec, HeadRunner(self._run))

    def _run(self, batch: Mapping[str, Array]) -> dict[str, Array]:
        self.runs += 1
        return {"embedding": batch["x"] * 2}


BATCHES = [[{"x": np.full(2, float(i))}, {"x": np.full(2, i + 0.5)}] for i in range(3)]


def test_batches_are_computed_once_and_read_by_the_next_measurement(tmp_path: Path) -> None:
    graph = _Doubling()
    kept = KeptGraph(graph.model, tmp_path)
    first = [kept(batch)["embedding"] for batch in (*BATCHES, BATCHES[0])]
    assert graph.runs == 3
    kept.save()
    kept.save()
    assert len(list(tmp_path.iterdir())) == 1
    again = KeptGraph(graph.model, tmp_path)
    for batch, outputs in zip(BATCHES, first, strict=False):
        np.testing.assert_array_equal(again(batch)["embedding"], outputs)
    assert graph.runs == 3


def test_what_was_computed_before_an_interruption_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_answers, "_SECONDS_BETWEEN_SAVES", 0.0)
    graph = _Doubling()
    KeptGraph(graph.model, tmp_path)(BATCHES[0])
    KeptGraph(graph.model, tmp_path)(BATCHES[0])
    assert graph.runs == 1


def test_a_damaged_file_is_computed_anew(tmp_path: Path) -> None:
    (tmp_path / "broken.safetensors").write_bytes(b"nothing")
    graph = _Doubling()
    np.testing.assert_array_equal(
        KeptGraph(graph.model, tmp_path)(BATCHES[1])["embedding"][0], [2, 2]
    )
