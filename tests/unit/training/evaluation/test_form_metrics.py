"""Metrics by libraries: known values, and what is left out."""

from __future__ import annotations

import numpy as np
import pytest

from omnivec2.errors import ArtifactError
from omnivec2.training.evaluation.metrics.bert_score import MODEL_VARIABLE, bertscore
from omnivec2.training.evaluation.metrics.search_metrics import Searched
from omnivec2.training.evaluation.metrics.value_metrics import QuantileForecast
from omnivec2.training.evaluation.quality_metrics import METRICS


def measure(metric: str, *arguments) -> float:
    return METRICS[metric].measure(*arguments)


def boxes(*rows: tuple[float, ...], scores: tuple[float, ...] = ()) -> dict[str, np.ndarray]:
    found = {"boxes": np.array(rows).reshape(-1, 4), "labels": np.zeros(len(rows), np.int64)}
    return found | ({"scores": np.array(scores)} if scores else {})


BOX = (0.5, 0.5, 0.4, 0.4)


def test_a_perfect_box_has_an_average_precision_of_1():
    assert measure("ap", [boxes(BOX, scores=(0.9,))], [boxes(BOX)]) == pytest.approx(1.0)


def test_a_box_that_covers_two_thirds_is_right_up_to_that_overlap():
    two_thirds = (0.5, 0.5, 0.4, 0.4 * 0.68)
    found, real = [boxes(two_thirds, scores=(0.9,))], [boxes(BOX)]
    assert measure("coco_ap50", found, real) == pytest.approx(1.0)
    assert measure("coco_ap75", found, real) == pytest.approx(0.0)
    assert measure("ap", found, real) == pytest.approx(0.4)  # 0.5, 0.55, 0.6, 0.65 of ten


def test_average_precision_without_predictions_is_0_and_without_objects_unknown():
    assert measure("ap", [boxes()], [boxes(BOX)]) == 0.0
    assert np.isnan(measure("ap", [boxes(BOX, scores=(0.9,))], [boxes()]))


@pytest.mark.parametrize("metric", ["ap", "coco_ap50", "ap50"])
def test_a_box_in_a_crowd_of_its_class_is_neither_right_nor_wrong(metric):
    in_crowd = (0.15, 0.15, 0.1, 0.1)
    found = [boxes(in_crowd, BOX, scores=(0.9, 0.8))]
    crowd = {"crowds": np.array([(0.15, 0.15, 0.3, 0.3)]), "crowd_labels": np.array([0])}
    assert measure(metric, found, [boxes(BOX)]) == pytest.approx(0.5)
    assert measure(metric, found, [boxes(BOX) | crowd]) == pytest.approx(1.0)
    of_another_class = crowd | {"crowd_labels": np.array([1])}
    assert measure(metric, found, [boxes(BOX) | of_another_class]) == pytest.approx(0.5)
    # An object within a crowd must be found all the same.
    assert measure(metric, [boxes(in_crowd, scores=(0.9,))], [boxes(BOX) | crowd]) == 0.0


def test_average_accuracy_counts_a_rare_class_as_much_as_a_common_one():
    labels = [0] * 9 + [1]
    scores = np.tile([1.0, 0.0], (10, 1))
    assert measure("accuracy", scores, labels) == 0.9
    assert measure("average_accuracy", scores, labels) == 0.5


def test_a_class_among_the_five_best_is_right_in_top5():
    scores = np.tile(np.arange(8.0), (2, 1))
    assert measure("top5", scores, [3, 2]) == 0.5
    assert measure("top5", scores[:, :5], [0, 1]) == 1.0


def test_f1_of_pairs_is_that_of_the_second_class():
    scores = np.eye(2)[[1, 1, 0, 0]]
    assert measure("f1", scores, [1, 0, 1, 0]) == pytest.approx(0.5)


def test_labels_that_no_sample_has_are_left_out_of_means():
    wanted = np.array([[1, 0], [0, 0], [1, 0]])
    scores = np.array([[1.0, 9.0], [-1.0, 9.0], [2.0, 9.0]])
    assert measure("map", scores, wanted) == 1.0
    assert measure("mean_auc", scores, wanted) == 1.0
    assert measure("f1_macro", scores, wanted) == 1.0
    assert np.isnan(measure("map", scores[:, 1:], wanted[:, 1:]))


def test_the_pinball_loss_of_the_median_is_half_the_absolute_error():
    forecast = QuantileForecast(np.zeros(2), np.zeros((1, 2)), (0.5,))
    assert measure("pinball", [forecast], [np.array([1.0, -3.0])]) == pytest.approx(1.0)


def test_depths_that_are_unknown_or_0_are_left_out():
    real = [np.array([[[np.nan, 0.0, 2.0, 4.0]]])]
    found = [np.array([[[9.0, 9.0, 2.2, 2.0]]])]
    assert measure("abs_rel", found, real) == pytest.approx((0.1 + 0.5) / 2)
    assert measure("delta1", found, real) == 0.5
    assert measure("rmse", found, real) == pytest.approx(np.sqrt((81 + 0.04 + 4) / 3))


def test_a_search_counts_the_first_k_others():
    vectors = np.array([[1.0, 0.0], [0.9, 0.1], [0.8, 0.3], [0.0, 1.0]])
    wanted = [Searched(0), Searched(1), Searched(0), Searched(2)]
    assert measure("recall@1", vectors, wanted) == 0.0
    assert measure("recall@5", vectors, wanted) == 1.0
    assert measure("search_map", vectors, wanted) == pytest.approx(0.5)


def test_bertscore_without_its_model_says_how_to_have_it(monkeypatch, tmp_path):
    monkeypatch.delenv(MODEL_VARIABLE, raising=False)
    with pytest.raises(ArtifactError, match=MODEL_VARIABLE):
        bertscore(["a text"], [["a text"]])
    monkeypatch.setenv(MODEL_VARIABLE, str(tmp_path))
    with pytest.raises(ArtifactError, match=r"holds no config\.json"):
        bertscore(["a text"], [["a text"]])
