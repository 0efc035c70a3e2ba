from __future__ import annotations

import numpy as np
import pytest

from omnivec2.errors import ModelNotReadyError
from omnivec2.spec import Modality, Target, TaskFamily

TARGETS = (Target(name="solubility", unit="log mol/L"), Target(name="mass"))


def test_values_carry_the_name_and_unit_of_their_target(head, answer):
    spec = head(TaskFamily.REGRESSION, Modality.GRAPH, targets=TARGETS)
    assert answer(spec, {"values": np.array([[-2.5, 46.0]], dtype=np.float32)}) == [
        {"label": "solubility", "value": -2.5, "unit": "log mol/L"},
        {"label": "mass", "value": 46.0, "unit": ""},
    ]


def test_rows_get_a_list_each_and_a_table_numbers(head, answer):
    spec = head(TaskFamily.REGRESSION, Modality.TABULAR, targets=TARGETS[:1])
    values = {"values": np.array([[1.0], [2.0]])}
    rows = answer(spec, values, {"reduce": "each", "form": "inputs"})
    assert [row[0]["value"] for row in rows] == [1.0, 2.0]
    assert answer(spec, values, {"reduce": "each", "form": "table"}) == [1.0, 2.0]


def test_windows_of_one_input_are_averaged(head, answer):
    spec = head(TaskFamily.REGRESSION, Modality.IMU, targets=TARGETS[:1])
    result = answer(spec, {"values": np.array([[1.0], [2.0]])}, {"reduce": "mean"})
    assert result[0]["value"] == 1.5


def test_targets_the_spec_does_not_name_are_the_models_fault(head, answer):
    spec = head(TaskFamily.REGRESSION, Modality.GRAPH, targets=TARGETS)
    with pytest.raises(ModelNotReadyError):
        answer(spec, {"values": np.zeros((1, 3))})
