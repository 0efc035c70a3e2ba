"""Gradient-boosted trees beside heads for tables."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from omnivec2.training.evaluation.baselines.boosted_trees import BOOSTED_TREES, boosted_trees
from tests.support.training import family_tasks, tiny_tasks


def test_trees_find_the_class_of_a_row() -> None:
    found = boosted_trees(tiny_tasks.classification(), "accuracy")
    assert found[BOOSTED_TREES] > 0.9


def test_trees_predict_a_quantity_with_missing_numbers_and_categories() -> None:
    task = tiny_tasks.regression(120)
    for split in task.splits.values():
        for number, sample in enumerate(split.samples):
            sample["categories"] = np.array([number % 3], dtype=np.int32)
            sample["missing"] = np.array([0, number % 2], dtype=np.uint8)
    assert boosted_trees(task, "rmse")[BOOSTED_TREES] < 1.0


def test_only_tables_with_one_answer_a_row_have_trees() -> None:
    assert boosted_trees(tiny_tasks.forecasting(), "mse") == {}
    assert boosted_trees(family_tasks.multi_label(), "map") == {}
    task = tiny_tasks.classification()
    without = {name: split for name, split in task.splits.items() if name != "val"}
    assert boosted_trees(replace(task, splits=without), "accuracy") == {}
