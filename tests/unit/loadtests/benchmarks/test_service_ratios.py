"""Ratios of the service to bare loops."""

from __future__ import annotations

import json

from loadtests.benchmarks.service_ratios import (
    Ratios,
    Round,
    default_inputs,
    read_engine,
    spread,
)


def test_a_service_that_costs_nothing_has_ratios_of_one() -> None:
    equal = Round(service_rate=50.0, loop_rate=50.0, service_ms=8.0, loop_ms=8.0)
    assert (equal.many, equal.one) == (1.0, 1.0)


def test_both_ratios_fall_when_the_service_becomes_slower() -> None:
    slow = Round(service_rate=25.0, loop_rate=50.0, service_ms=10.0, loop_ms=8.0)
    assert (slow.many, slow.one) == (0.5, 0.8)


def test_ratios_are_medians_of_the_ratios_of_rounds() -> None:
    rounds = [Round(10, 20, 4, 2), Round(90, 100, 4, 3), Round(7, 10, 4, 1)]
    ratios = Ratios("text/sentiment", "onnxruntime fp32", rounds)
    assert (ratios.many, ratios.one) == (0.7, 0.5)
    summary = ratios.summary()
    assert summary["many"] == {"median": 0.7, "low": 0.5, "high": 0.9}
    assert summary["service_rate"]["median"] == 10
    assert json.loads(json.dumps(summary)) == summary


def test_a_spread_has_four_digits() -> None:
    assert spread([123.456, 2.0, 0.0012344]) == {"median": 2.0, "low": 0.001234, "high": 123.5}


def test_the_inputs_are_one_picture_one_sentence_and_one_row() -> None:
    picture, sentence, row = default_inputs()
    assert picture.body.startswith(b"\xff\xd8")
    assert len(json.loads(sentence.body)["inputs"]) > 10
    assert len(json.loads(row.body)["inputs"]) == 1


def test_the_engine_is_read_from_the_description_of_a_model() -> None:
    execution = {"engine": "openvino", "precision": "bf16", "gate_points": 0.1}
    assert read_engine({"execution": execution}) == ("openvino", "bf16")
    assert read_engine({"name": "text_sentiment", "execution": None}) is None
