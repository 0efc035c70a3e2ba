from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from omnivec2.errors import InvalidParameterError
from omnivec2.spec import Modality, TaskFamily

LABELS = tuple("abcdefg")
LOGITS = {"logits": np.array([[0.0, 3.0, 1.0, 2.0, -1.0, -2.0, -3.0]], dtype=np.float32)}
FAMILY = TaskFamily.CLASSIFICATION


def test_classes_come_best_first_with_probabilities(head, answer):
    result = answer(head(FAMILY, labels=LABELS), LOGITS, top_k=7)
    assert [entry["label"] for entry in result] == ["b", "d", "c", "a", "e", "f", "g"]
    assert sum(entry["score"] for entry in result) == pytest.approx(1.0)


def test_five_classes_are_answered_unless_there_are_fewer(head, answer):
    assert len(answer(head(FAMILY, labels=LABELS), LOGITS)) == 5
    two = {"logits": np.zeros((1, 2))}
    assert [e["label"] for e in answer(head(FAMILY, labels=("x", "y")), two)] == ["x", "y"]


def test_a_text_gets_all_classes_in_a_list_of_its_own(head, answer):
    spec = head(FAMILY, Modality.TEXT, labels=LABELS)
    result = answer(spec, LOGITS)
    assert len(result) == 1
    assert len(result[0]) == 7
    assert answer(spec, LOGITS, inputs=2, batched=True) == [result[0], result[0]]
    assert answer(spec, LOGITS, inputs=1, batched=True) == result


def test_a_list_of_inputs_gets_a_list_of_answers(head, answer):
    spec = head(FAMILY, labels=LABELS)
    one = answer(spec, LOGITS)
    assert answer(spec, LOGITS, inputs=3, batched=True) == [one] * 3


def test_top_k_over_the_number_of_classes_is_refused(head, answer):
    with pytest.raises(InvalidParameterError, match="1 to 7"):
        answer(head(FAMILY, labels=LABELS), LOGITS, top_k=8)
    with pytest.raises(ValidationError):
        answer(head(FAMILY, labels=LABELS), LOGITS, top_k=0)


def test_the_function_can_be_sigmoid_or_none(head, answer):
    spec = head(FAMILY, labels=LABELS)
    assert answer(spec, LOGITS, function_to_apply="none")[0] == {"label": "b", "score": 3.0}
    best = answer(spec, LOGITS, function_to_apply="sigmoid")[0]
    assert best["score"] == pytest.approx(1 / (1 + np.exp(-3)))


def test_probabilities_are_of_logits_divided_by_the_temperature(head, answer):
    plain, spec = head(FAMILY, labels=LABELS), head(FAMILY, labels=LABELS, temperature=2.0)
    half = {"logits": LOGITS["logits"] / 2}
    for function in (None, "softmax", "sigmoid"):
        cooler = answer(spec, LOGITS, function_to_apply=function)
        wanted = answer(plain, half, function_to_apply=function)
        assert [e["label"] for e in cooler] == [e["label"] for e in wanted]
        assert [e["score"] for e in cooler] == pytest.approx([e["score"] for e in wanted])
    assert answer(spec, LOGITS, function_to_apply="none")[0] == {"label": "b", "score": 3.0}


@pytest.mark.parametrize("function", ["softmax", "sigmoid"])
def test_huge_logits_do_not_overflow(head, answer, function):
    spec = head(FAMILY, labels=("x", "y"))
    result = answer(spec, {"logits": np.array([[-3e38, 3e38]])}, function_to_apply=function)
    assert [entry["score"] for entry in result] == [1.0, 0.0]


def test_windows_of_one_input_are_averaged_after_the_function(head, answer):
    logits = {"logits": np.array([[0.0, 100.0], [0.0, 0.0]])}
    result = answer(head(FAMILY, labels=("x", "y")), logits, {"reduce": "mean"})
    assert result[0]["label"] == "y"
    assert result[0]["score"] == pytest.approx(0.75)


def test_rows_get_a_list_each(head, answer):
    spec = head(FAMILY, Modality.TABULAR, labels=("x", "y"))
    logits = {"logits": np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0]])}
    context = {"reduce": "each", "form": "inputs"}
    result = answer(spec, logits, context)
    assert [row[0]["label"] for row in result] == ["x", "y", "x"]
    one = answer(spec, {"logits": logits["logits"][:1]}, context)
    assert [row[0]["label"] for row in one] == ["x"]


def test_a_table_gets_labels_only(head, answer):
    spec = head(FAMILY, Modality.TABULAR, labels=("x", "y"))
    logits = {"logits": np.array([[1.0, 0.0], [0.0, 1.0]])}
    assert answer(spec, logits, {"reduce": "each", "form": "table"}) == ["x", "y"]


THRESHOLDS = (0.6, 0.9, 0.9, 0.5, 0.2, 0.2, 0.2)


def test_a_head_with_thresholds_answers_all_labels_that_reach_them(head, answer):
    spec = head(FAMILY, labels=LABELS, thresholds=THRESHOLDS)
    result = answer(spec, LOGITS)
    assert [entry["label"] for entry in result] == ["b", "d", "e"]
    assert result[0]["score"] == pytest.approx(1 / (1 + np.exp(-3)))
    assert answer(spec, {"logits": LOGITS["logits"] - 20}) == []


def test_a_threshold_or_a_number_of_labels_replaces_the_heads_own(head, answer):
    spec = head(FAMILY, labels=LABELS, thresholds=THRESHOLDS)
    assert [e["label"] for e in answer(spec, LOGITS, threshold=0.7)] == ["b", "d", "c"]
    assert [e["label"] for e in answer(spec, LOGITS, top_k=2)] == ["b", "d"]
    assert len(answer(spec, LOGITS, function_to_apply="softmax")) == 7
    one_class = head(FAMILY, labels=LABELS)
    assert [e["label"] for e in answer(one_class, LOGITS, threshold=0.2)] == ["b", "d"]


def test_a_table_gets_all_labels_of_each_row(head, answer):
    spec = head(FAMILY, Modality.TABULAR, labels=("x", "y"), thresholds=(0.5, 0.5))
    logits = {"logits": np.array([[1.0, 2.0], [-1.0, 2.0], [-1.0, -1.0]])}
    rows = answer(spec, logits, {"form": "table", "reduce": "each"})
    assert rows == [["x", "y"], ["y"], []]
