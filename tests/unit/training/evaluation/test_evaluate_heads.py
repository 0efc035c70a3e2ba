from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from rich.console import Console

from omnivec2.errors import ArtifactError, CheckpointError, UnknownModelError
from omnivec2.preprocess import preprocessor_for
from omnivec2.spec import HeadSpec, Modality, TaskFamily
from omnivec2.training.evaluation import evaluate_heads
from omnivec2.training.evaluation.evaluate_heads import evaluate_checkpoint
from omnivec2.training.evaluation.evaluation_report import (
    model_card_table,
    results_table,
    write_json,
)
from omnivec2.training.evaluation.metrics.head_result import HeadResult
from tests.support.training import tiny_tasks

QUIET = Console(file=io.StringIO())


def _head(data, **fields) -> HeadSpec:
    modality, name = data.route.split("/")
    values = {
        "modality": modality,
        "task": name,
        "family": data.family,
        "inputs": preprocessor_for(data.preprocess).inputs,
        "outputs": (),
        "preprocess": data.preprocess,
        "labels": data.labels,
        "data": data.sources,
        "network": "tiny",
    }
    return HeadSpec.model_validate(values | fields)


def _write_graph(path: Path, spec: HeadSpec, output: str, weights: np.ndarray) -> None:
    """Write a graph of ``output = numbers @ weights``; its other inputs are unused."""
    types = {"float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8, "int32": TensorProto.INT32}
    inputs = [
        helper.make_tensor_value_info(t.name, types[t.dtype], ["n", *t.shape]) for t in spec.inputs
    ]
    answer = helper.make_tensor_value_info(output, TensorProto.FLOAT, ["n", weights.shape[1]])
    node = helper.make_node("MatMul", ["numbers", "weights"], [output])
    constant = numpy_helper.from_array(weights.astype(np.float32), "weights")
    graph = helper.make_graph([node], "tiny", inputs, [answer], [constant])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    path.parent.mkdir(parents=True)
    onnx.save(model, path)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A checkpoint with a head that is always right and the modality's embedding."""
    task = tiny_tasks.classification()
    embedding = _head(task, task="embedding", family=TaskFamily.EMBEDDING)
    heads = (
        (_head(task), "logits", np.array([[-1.0, 1.0], [0.0, 0.0]])),
        (embedding, "embedding", np.eye(2)),
    )
    for spec, output, weights in heads:
        folder = tmp_path / "checkpoint" / "models" / spec.name
        folder.mkdir(parents=True)
        (folder / "head.json").write_text(spec.model_dump_json())
        _write_graph(tmp_path / "repo" / spec.name / "1" / "model.onnx", spec, output, weights)
    monkeypatch.setattr(evaluate_heads, "load_task", lambda *_, **__: task)
    monkeypatch.setattr(evaluate_heads, "routes", lambda modality: [task.route])
    return tmp_path


def _evaluate(place, **options):
    return evaluate_checkpoint(
        place / "checkpoint",
        place,
        place / "repo",
        cache=place / "cache",
        console=QUIET,
        **options,
    )


def test_heads_are_measured_through_their_graphs_beside_simple_models(place):
    results = {result.route: result for result in _evaluate(place)}
    head, embedding = results["tabular/sign"], results["tabular/embedding"]
    assert (head.metric, head.value, head.samples) == ("accuracy", 1.0, 60)
    assert set(head.baselines) == {"majority", "linear"}
    assert embedding.metric == "5-nn accuracy"
    assert embedding.value == pytest.approx(embedding.baselines["raw arrays"], abs=0.1)
    metric = head.as_metric()
    assert (metric.dataset, metric.split, metric.value) == ("signs", "test", 1.0)


def test_a_callback_gets_the_answers_of_a_head(place):
    calls: list[Any] = []
    _evaluate(place, only=["tabular/sign"], most_samples=7, on_answers=calls.append)
    (measured,) = calls
    assert list(measured.rows) == [0, 10, 20, 30, 39, 49, 59]
    assert len(measured.answers.predicted) == 7
    np.testing.assert_array_equal(
        measured.sample(1)["numbers"], measured.data.samples[10]["numbers"]
    )


def test_only_chosen_heads_and_so_many_samples_are_measured(place):
    (result,) = _evaluate(place, only=["tabular/sign"], most_samples=7, split="val")
    assert (result.samples, result.split) == (7, "val")


def test_a_head_that_is_not_there_is_refused_with_those_that_are(place):
    with pytest.raises(UnknownModelError, match="there are tabular/embedding, tabular/sign"):
        _evaluate(place, only=["image/nothing"])


def test_an_embedding_without_a_data_set_prepared_as_it_is_refused(place, monkeypatch):
    monkeypatch.setattr(evaluate_heads, "routes", lambda modality: [])
    with pytest.raises(ArtifactError, match="no data set is prepared as tabular/embedding"):
        _evaluate(place, only=["tabular/embedding"])


def test_a_checkpoint_without_heads_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="holds no"):
        evaluate_checkpoint(tmp_path, tmp_path, tmp_path)


def test_a_missing_graph_is_reported_with_its_place(place):
    (place / "repo" / "tabular_sign" / "1" / "model.onnx").unlink()
    with pytest.raises(ArtifactError, match="assemble"):
        _evaluate(place, only=["tabular/sign"])


def _result(**fields) -> HeadResult:
    values = {
        "route": "tabular/sign",
        "dataset": "signs",
        "split": "test",
        "samples": 1234,
        "metric": "accuracy",
        "value": 0.9,
        "baselines": {"majority": 0.5, "linear": 0.8},
        "higher_is_better": True,
    }
    return HeadResult(**values | fields)


def test_the_gain_is_over_the_better_simple_model():
    assert _result().gain == pytest.approx(0.1)
    assert _result(value=0.7, higher_is_better=False).gain == pytest.approx(-0.2)


def test_tables_show_every_figure():
    text_file = io.StringIO()
    out = Console(file=text_file, width=200)
    out.print(results_table([_result(), _result(baselines={"raw arrays": 0.95})]))
    text = text_file.getvalue()
    for shown in ("tabular/sign", "1,234", "0.500", "0.800", "0.900", "+0.100", "-0.050"):
        assert shown in text


def test_the_model_card_names_data_and_licence():
    table = model_card_table([_result()], [_head(tiny_tasks.classification())])
    assert "made up (CC0)" in table
    assert table.count("\n") == 3
    assert len({line.count("|") for line in table.splitlines()}) == 1


def test_written_results_say_what_they_were_measured_on(tmp_path):
    file = tmp_path / "out" / "results.json"
    write_json([_result()], file)
    document = json.loads(file.read_text())
    assert document["results"][0]["gain"] == pytest.approx(0.1)
    assert "cores" in document["hardware"]
    assert {"python", "numpy", "onnxruntime"} <= set(document["versions"])
    assert document["created"].endswith("+00:00")


def test_measuring_imports_no_torch():
    import subprocess
    import sys

    code = (
        "import sys, omnivec2.training.evaluation.evaluate_heads;"
        "import omnivec2.training.evaluation.evaluation_report;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_modalities_are_spelled_as_in_routes():
    assert _head(tiny_tasks.classification()).modality is Modality.TABULAR
