from __future__ import annotations

import numpy as np
import pytest

from omnivec2.training.evaluation.probing import probe
from tests.support.training import tiny_tasks


def _first_number(samples):
    return np.array([[sample["numbers"][0], 1.0] for sample in samples])


def test_an_embedding_that_knows_the_class_beats_raw_arrays():
    found = probe(tiny_tasks.classification(), _first_number)
    assert found.metric == "5-nn accuracy"
    assert found.higher_is_better
    assert found.samples == 60
    assert found.value == 1.0
    assert found.value >= found.raw


def test_quantities_are_measured_by_their_error():
    found = probe(tiny_tasks.regression(), _first_number)
    assert found.metric == "5-nn rmse"
    assert not found.higher_is_better
    assert found.value < found.raw


def test_series_are_read_off_by_a_linear_model_relative_to_their_own_level():
    def shape(samples):
        values = np.stack([sample["values"] for sample in samples])
        return (values - values.mean(axis=1, keepdims=True)) / values.std(axis=1, keepdims=True)

    found = probe(tiny_tasks.forecasting(), shape)
    assert found.metric == "linear probe mse"
    assert found.value == pytest.approx(0, abs=0.05)
