from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from omnivec2.training.data import Split
from omnivec2.training.evaluation import simple_models as module
from omnivec2.training.evaluation.quality_metrics import METRICS
from omnivec2.training.evaluation.simple_models import measure_baselines
from omnivec2.training.evaluation.simple_scene_models import suppress_overlaps
from tests.support.training import family_tasks, tiny_tasks


@pytest.mark.parametrize(
    "make",
    [
        tiny_tasks.classification,
        tiny_tasks.regression,
        tiny_tasks.forecasting,
        tiny_tasks.segmentation,
        tiny_tasks.detection,
    ],
)
def test_a_linear_model_beats_the_trivial_answer_where_there_is_something_to_learn(tmp_path, make):
    task = make()
    found = measure_baselines(task, cache=tmp_path)
    assert list(found) == ["majority", "linear"]
    sign = 1 if METRICS[task.metric].higher_is_better else -1
    assert sign * (found["linear"] - found["majority"]) > 0.2


@pytest.mark.parametrize(
    "make", [family_tasks.multi_label, family_tasks.anomaly, family_tasks.points]
)
def test_forms_of_targets_have_simple_models_of_their_own(tmp_path, make):
    found = measure_baselines(make(), cache=tmp_path)
    assert found["linear"] > found["majority"] + 0.2


def test_a_map_is_compared_with_the_mean_map_and_vectors_with_raw_arrays(tmp_path):
    assert 0 < measure_baselines(family_tasks.depth_map(), cache=tmp_path)["majority"] < 1
    assert measure_baselines(family_tasks.identities(), cache=tmp_path)["raw arrays"] > 0.5


def test_the_majority_answer_has_an_auc_of_a_half(tmp_path):
    assert (
        measure_baselines(tiny_tasks.classification(metric="auc"), cache=tmp_path)["majority"]
        == 0.5
    )


def test_regularisation_is_never_chosen_on_the_test_part(tmp_path):
    task = tiny_tasks.regression()
    expected = measure_baselines(task, cache=tmp_path / "a")
    test = task.splits["test"]
    moved = Split(test.samples, np.asarray(test.targets) + 100)
    found = measure_baselines(
        replace(task, splits={**task.splits, "test": moved}), cache=tmp_path / "b"
    )
    assert found["linear"] == pytest.approx(100, abs=expected["linear"] + 1)


def test_figures_are_computed_once_and_cached(tmp_path, monkeypatch):
    task = tiny_tasks.classification()
    first = measure_baselines(task, cache=tmp_path)
    monkeypatch.setattr(module, "_compute", lambda _: pytest.fail("computed again"))
    assert measure_baselines(task, cache=tmp_path) == first


def test_boxes_that_overlap_one_of_higher_score_are_dropped():
    boxes = np.array([[0.5, 0.5, 0.2, 0.2], [0.51, 0.5, 0.2, 0.2], [0.9, 0.5, 0.1, 0.1]])
    assert suppress_overlaps(boxes, np.array([0.5, 0.9, 0.1])).tolist() == [1, 2]
