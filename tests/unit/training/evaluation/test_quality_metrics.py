from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from omnivec2.training.evaluation.quality_metrics import (
    METRICS,
    accuracy,
    ap50,
    auc,
    box_iou,
    count_unmatched,
    mcc,
    miou,
    mse,
    rmse,
)


def _boxes(*rows):
    return np.array(rows, dtype=np.float64).reshape(-1, 4)


def _found(boxes, labels, scores):
    return {"boxes": _boxes(*boxes), "labels": np.array(labels), "scores": np.array(scores)}


def _real(boxes, labels):
    return {"boxes": _boxes(*boxes), "labels": np.array(labels, dtype=np.int64)}


LEFT, RIGHT = (0.2, 0.5, 0.2, 0.2), (0.7, 0.5, 0.2, 0.2)


def test_every_metric_says_which_way_is_better():
    assert {name: kind.higher_is_better for name, kind in METRICS.items()} == {
        "accuracy": True,
        "auc": True,
        "mcc": True,
        "top5": True,
        "average_accuracy": True,
        "f1": True,
        "f1_macro": True,
        "f1_micro": True,
        "map": True,
        "mean_auc": True,
        "ece": False,
        "rmse": False,
        "mae": False,
        "mse": False,
        "pinball": False,
        "coverage": True,
        "abs_rel": False,
        "delta1": True,
        "miou": True,
        "ap50": True,
        "ap": True,
        "coco_ap50": True,
        "coco_ap75": True,
        "recall@1": True,
        "recall@5": True,
        "recall@10": True,
        "search_map": True,
        "rouge1": True,
        "rouge2": True,
        "rougeL": True,
        "bertscore": True,
    }


def test_accuracy_is_the_share_of_right_classes():
    assert accuracy(np.array([[0.1, 0.9], [2.0, -1.0], [0.0, 1.0]]), [1, 1, 1]) == pytest.approx(
        2 / 3
    )


def test_auc_is_that_of_scikit_learn_also_with_ties():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 200)
    ranks = np.round(rng.normal(size=200) + labels, 1)
    scores = np.stack([-ranks, ranks], axis=1)
    assert auc(scores, labels) == pytest.approx(roc_auc_score(labels, ranks))


def test_auc_of_one_answer_for_all_is_a_half():
    assert auc(np.zeros((4, 2)), [0, 1, 1, 0]) == 0.5


def test_mcc_gives_nothing_for_always_naming_the_larger_class():
    labels = [1, 1, 1, 0]
    assert mcc(np.tile([0.1, 0.9], (4, 1)), labels) == 0.0
    right = np.array([[0.2, 0.8], [0.2, 0.8], [0.2, 0.8], [0.9, 0.1]])
    assert mcc(right, labels) == 1.0
    assert mcc(right[:, ::-1], labels) == -1.0


def test_errors_are_in_the_units_of_the_values():
    values, targets = np.array([[1.0], [4.0]]), [np.array([1.0]), np.array([1.0])]
    assert mse(values, targets) == pytest.approx(4.5)
    assert rmse(values, targets) == pytest.approx(4.5**0.5)


def test_miou_is_a_mean_over_the_classes_that_are_there():
    mask, reference = np.array([[0, 0, 1, 1]]), np.array([[0, 1, 1, 1]])
    assert miou([mask], [reference]) == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_miou_counts_no_pixel_that_is_ignored():
    mask, reference = np.array([[0, 3, 1]]), np.array([[0, 255, 1]])
    assert miou([mask], [reference]) == 1.0


def test_overlap_of_boxes_that_share_half_of_one_another():
    assert box_iou(_boxes((0.5, 0.5, 0.2, 0.2)), _boxes((0.6, 0.5, 0.2, 0.2), RIGHT))[0] == (
        pytest.approx([1 / 3, 0.0])
    )


def test_boxes_found_exactly_give_full_precision():
    found = _found([LEFT, RIGHT], [0, 1], [0.9, 0.8])
    assert ap50([found], [_real([LEFT, RIGHT], [0, 1])]) == pytest.approx(1.0)


def test_a_second_box_on_the_same_object_is_a_mistake():
    found = _found([LEFT, LEFT, RIGHT], [0, 0, 0], [0.9, 0.8, 0.7])
    # Hit, miss, hit of two objects: precision 1 up to recall 1/2, then 2/3.
    assert ap50([found], [_real([LEFT, RIGHT], [0, 0])]) == pytest.approx((1 + 2 / 3) / 2)


def test_boxes_are_ranked_by_score_across_pictures():
    wrong = _found([RIGHT], [0], [0.9])
    right = _found([LEFT], [0], [0.5])
    real = [_real([LEFT], [0]), _real([LEFT], [0])]
    assert ap50([wrong, right], real) == pytest.approx(0.5 / 2)


def test_a_class_that_is_never_found_counts_as_nothing():
    assert ap50([_found([LEFT], [0], [0.9])], [_real([LEFT, RIGHT], [0, 1])]) == 0.5


def test_pictures_without_objects_can_only_hold_mistakes():
    found = _found([LEFT], [0], [0.9])
    real = [_real([], []), _real([LEFT], [0])]
    assert ap50([found, found], real) == pytest.approx(0.5)


def test_a_box_is_matched_once_and_only_with_its_own_class():
    real = _real([LEFT, RIGHT], [0, 1])
    assert count_unmatched(_found([LEFT, RIGHT], [0, 1], [0.9, 0.8]), real) == (0, 0)
    assert count_unmatched(_found([LEFT, LEFT, RIGHT], [0, 0, 0], [0.9, 0.8, 0.7]), real) == (1, 2)
    assert count_unmatched(_found([], [], []), real) == (2, 0)
    assert count_unmatched(_found([LEFT], [0], [0.9]), _real([], [])) == (0, 1)
    crowd = {"crowds": np.array([LEFT]), "crowd_labels": np.array([0])}
    assert count_unmatched(_found([LEFT], [0], [0.9]), _real([], []) | crowd) == (0, 0)
