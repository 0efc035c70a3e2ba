from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from omnivec2.errors import InvalidParameterError, ModelNotReadyError
from omnivec2.spec import Modality, TaskFamily

MEANS = {"mean": np.arange(8, dtype=np.float32).reshape(2, 4)}


@pytest.fixture
def spec(head):
    return head(TaskFamily.FORECASTING, Modality.TIMESERIES, horizon=4)


def test_every_series_gets_its_name_and_mean(spec, answer):
    assert answer(spec, MEANS, {"names": ["load", "oil"]}) == {
        "predictions": [
            {"target": "load", "mean": [0.0, 1.0, 2.0, 3.0]},
            {"target": "oil", "mean": [4.0, 5.0, 6.0, 7.0]},
        ]
    }


def test_series_without_names_are_numbered(spec, answer):
    result = answer(spec, MEANS)
    assert [entry["target"] for entry in result["predictions"]] == ["series_0", "series_1"]


def test_the_length_can_be_shorter_than_the_horizon_but_not_longer(spec, answer):
    result = answer(spec, MEANS, prediction_length=1)
    assert [entry["mean"] for entry in result["predictions"]] == [[0.0], [4.0]]
    with pytest.raises(InvalidParameterError, match="1 to 4"):
        answer(spec, MEANS, prediction_length=5)
    with pytest.raises(ValidationError):
        answer(spec, MEANS, prediction_length=0)


def test_quantiles_are_named_cut_and_never_cross(head, answer):
    spec = head(TaskFamily.FORECASTING, Modality.TIMESERIES, horizon=4, quantiles=(0.1, 0.9))
    quantiles = np.array([[[5.0, 1, 1, 1], [2.0, 3, 3, 3]]])
    outputs = {"mean": MEANS["mean"][:1], "quantiles": quantiles}
    (entry,) = answer(spec, outputs, prediction_length=2)["predictions"]
    assert entry["quantiles"] == {"0.1": [2.0, 1.0], "0.9": [5.0, 3.0]}


def test_fewer_steps_than_the_horizon_are_the_models_fault(spec, answer):
    with pytest.raises(ModelNotReadyError):
        answer(spec, {"mean": np.zeros((1, 3))})


def test_series_that_were_normalised_before_are_brought_back_in_64_bits(head, answer):
    context = {"names": ["a", "b"], "location": [1e9, 3.0], "scale": [0.5, 0.0]}
    spec = head(TaskFamily.FORECASTING, Modality.TIMESERIES, horizon=4, quantiles=(0.1, 0.9))
    outputs = {**MEANS, "quantiles": np.ones((2, 2, 4), np.float32)}
    first, second = answer(spec, outputs, context)["predictions"]
    assert first["mean"] == [1e9, 1e9 + 0.5, 1e9 + 1, 1e9 + 1.5]
    assert first["quantiles"]["0.1"] == [1e9 + 0.5] * 4
    assert second["mean"] == second["quantiles"]["0.9"] == [3.0] * 4
