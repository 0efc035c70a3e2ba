"""Small data sets in five folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from omnivec2.preprocess import Sample
from omnivec2.spec import HeadSpec, TaskFamily
from omnivec2.training.data.base import Split, TaskData
from omnivec2.training.evaluation.all_heads import five_folds
from omnivec2.training.evaluation.all_heads.five_folds import can_fold, measure_folds, pool_of
from tests.support.model_repositories import tiny_models
from tests.support.training import family_tasks, tiny_tasks


def _grouped(task: TaskData) -> TaskData:
    splits = {
        name: replace(split, groups=np.array([f"{name}{i // 6}" for i in range(len(split))]))
        for name, split in task.splits.items()
    }
    return replace(task, splits=splits)


def test_samples_of_one_source_share_a_fold() -> None:
    task = _grouped(tiny_tasks.classification())
    pool = pool_of(task)
    assert pool.grouped
    assert len(pool.data) == 180
    names = np.concatenate([np.asarray(split.groups) for split in task.splits.values()])
    assert all(len(set(pool.folds[names == name])) == 1 for name in names)
    parts = list(pool.parts())
    assert len(parts) == 5
    np.testing.assert_array_equal(np.sort(np.concatenate([held for _, held in parts])), range(180))


def test_equal_inputs_share_a_fold_where_no_source_is_known() -> None:
    task = tiny_tasks.regression()
    train = task.splits["train"]
    doubled = Split([*train.samples, *train.samples], np.concatenate([train.targets] * 2))
    pool = pool_of(replace(task, splits={"train": doubled}))
    assert not pool.grouped
    np.testing.assert_array_equal(pool.folds[:60], pool.folds[60:])


def test_only_small_tests_of_classes_and_quantities_are_folded() -> None:
    assert can_fold(tiny_tasks.classification())
    assert can_fold(tiny_tasks.regression())
    assert not can_fold(tiny_tasks.classification(250))
    assert not can_fold(tiny_tasks.forecasting())
    assert not can_fold(family_tasks.multi_label())


@pytest.mark.parametrize(
    ("make", "better"), [(tiny_tasks.classification, 0.9), (tiny_tasks.regression, 0.5)]
)
def test_a_head_is_refitted_in_every_fold_beside_a_linear_model(
    make: Any, better: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = _grouped(make())
    family = task.family
    spec = tiny_models.head_spec(
        task.route, family, {"logits": (2,)}, dict(task.preprocess.parameters)
    )

    def summaries(
        _: Path, __: HeadSpec, samples: Sequence[Sample], *___: Any
    ) -> tuple[list[tuple[str, ...]], dict[str, Any]]:
        values = np.stack([sample["numbers"] for sample in samples]).astype(np.float32)
        return [("mean",)], {"mean": np.repeat(values, 4, axis=1)}

    monkeypatch.setattr(five_folds, "_summaries", summaries)
    monkeypatch.setattr(five_folds, "_SECONDS", 0.0)
    found = measure_folds(tmp_path, spec, task, tmp_path, lambda _: None)
    assert (found.result.samples, found.result.split) == (180, "five-fold")
    if family is TaskFamily.CLASSIFICATION:
        assert found.result.value > better
        assert found.result.baselines["linear"] > better
    else:
        assert found.result.value < better
    assert found.figure.interval() is not None
    assert "five folds (sources apart)" in found.result.dataset
