from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from omnivec2.spec import DataSource, Modality, TaskFamily
from omnivec2.training.data.base import Split, SummarizationTarget, TaskData, preprocess_spec
from omnivec2.training.evaluation.all_heads.head_tests import (
    MeasuringOptions,
    run_test,
    tasks_with_tests,
)
from omnivec2.training.evaluation.simple_summaries import split_sentences, summarization_baselines
from tests.support.networks.writing import head_that_writes

DIALOGUE = "Doctor: Hello. How are you?\nPatient: I have had a cough for three days.\nDoctor: Oh."


def task(reference: str, **fields: Any) -> TaskData:
    split = Split([{}], [SummarizationTarget(DIALOGUE, (reference,))])
    return TaskData(
        route="text/summarization",
        family=TaskFamily.SUMMARIZATION,
        preprocess=preprocess_spec(Modality.TEXT),
        splits=dict.fromkeys(("train", "val", "test"), split),
        metric="rouge1",
        test_name="one",
        sources=(DataSource(name="made up", licence="CC0"),),
        **fields,
    )


def test_sentences_come_without_the_names_of_who_says_them() -> None:
    assert split_sentences(DIALOGUE) == [
        "Hello.", "How are you?", "I have had a cough for three days.", "Oh.",
    ]  # fmt: skip


def test_the_longest_sentence_is_found_wherever_it_is() -> None:
    found = summarization_baselines(task("I have had a cough for three days."))
    assert found["longest"] == 1.0
    assert 0 < found["lead"] < 1


def test_how_many_sentences_lead_is_chosen_on_val() -> None:
    assert summarization_baselines(task("Hello. How are you?"))["lead"] == 1.0


def test_every_metric_on_every_test_is_a_figure_of_its_own(tmp_path: Path) -> None:
    """Each has its own baselines; the further test is the same dialogue with a full summary."""
    further = Split(
        [{}],
        [SummarizationTarget(DIALOGUE, ("Hello there.", "I have had a cough for three days."))],
    )
    data = task("Hello.", further_metrics=("rouge2",), further_tests={"others": further})
    graph = _ConstantGraph({"ids": np.array([[7592, 1012, 0]])})
    results = [
        found.result
        for part in tasks_with_tests(data, "test")
        for found in run_test(graph, part, MeasuringOptions("test", None, tmp_path), lambda _: None)
    ]
    assert [(r.dataset, r.metric) for r in results] == [
        ("one", "rouge1"), ("one", "rouge2"), ("others", "rouge1"), ("others", "rouge2"),
    ]  # fmt: skip
    assert results[0].value == 1.0
    assert 0 < results[2].value < 1
    assert results[0].baselines["lead"] == 1.0
    assert results[0].baselines != results[2].baselines
    assert len(tasks_with_tests(data, "val")) == 1


class _ConstantGraph:
    """A graph that gives every dialogue the same answer."""

    def __init__(self, outputs: dict[str, Any]) -> None:
        self.outputs = outputs
        self.spec = head_that_writes([0, 100, 101, 102])

    def __call__(self, samples: object) -> dict[str, Any]:
        return self.outputs
