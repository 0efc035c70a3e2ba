"""Heads with every form of targets, from training to an answer over HTTP."""

from __future__ import annotations

import base64
import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from export.export_run import export_checkpoint, require_ok
from export.repository.assembly import assemble
from export.repository.layouts import Layout
from omnivec2.checkpoint import read_checkpoint
from omnivec2.training import training_run as running
from omnivec2.training.evaluation import evaluate_heads
from omnivec2.training.evaluation.evaluate_heads import evaluate_checkpoint
from omnivec2.training.recipe import Recipe, TaskRecipe
from omnivec2.training.structure.network_sizes import NetworkSizes, TransformerSizes
from omnivec2.training.training_run import Paths
from tests.support.gateways.servers import RunningServer, running_server
from tests.support.training import family_tasks

pytestmark = pytest.mark.long

TASKS = {
    task.route: task
    for task in (
        family_tasks.multi_label(),
        family_tasks.two_values(),
        family_tasks.series_classes(),
        family_tasks.anomaly(),
        family_tasks.identities(),
        family_tasks.depth_map(),
        family_tasks.points(),
    )
}
SERIES = (np.sin(np.arange(family_tasks.CONTEXT) / 3)).tolist()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("forms")
    recipe = Recipe(
        preset="tiny",
        network=NetworkSizes(f=TransformerSizes(depth=1)),
        steps=16,
        warmup_steps=2,
        bf16=False,
        warm_start=False,
        checkpoint_every_steps=100,
        validate_every_steps=100,
        tasks={route: TaskRecipe(weight=1, batch_size=8) for route in TASKS},
    )
    with pytest.MonkeyPatch.context() as patch:
        for module in (running, evaluate_heads):
            patch.setattr(module, "load_task", lambda route, *_, **__: TASKS[route])
        paths = Paths(data=folder, run=folder / "run", checkpoint=folder / "checkpoint")
        made = running.train(recipe, paths)
        for embedding in made.glob("models/*_embedding"):  # other tests export those
            shutil.rmtree(embedding)
        require_ok(export_checkpoint(made, layouts=[Layout.FUSED]))
        yield made


@pytest.fixture(scope="module")
def repository(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository") / "models"
    assemble(checkpoint, folder, Layout.FUSED)
    return folder


@pytest.fixture(scope="module")
def server(repository: Path) -> Iterator[RunningServer]:
    none = str(repository.parent / "none")
    with running_server("--model-repo", str(repository), "--checkpoint", none) as running:
        yield running


def answer(server: RunningServer, route: str, inputs: object, **parameters: object):
    body = {"inputs": inputs, "parameters": parameters}
    response = httpx.post(f"{server.url}/predict/{route}", json=body, timeout=30)
    assert response.status_code == 200, response.text
    return response.json()


def test_labels_are_answered_by_their_fitted_thresholds(server, checkpoint):
    spec = next(h for h in read_checkpoint(checkpoint).heads if h.route == "tabular/signs")
    assert len(spec.thresholds) == 2
    (scores,) = answer(server, "tabular/signs", [{"a": 2.0, "b": -2.0}], threshold=0)
    assert {entry["label"] for entry in scores} == {"first", "second"}
    (labels,) = answer(server, "tabular/signs", [{"a": 2.0, "b": -2.0}])
    reached = {
        e["label"] for e in scores if e["score"] >= spec.thresholds[spec.labels.index(e["label"])]
    }
    assert {entry["label"] for entry in labels} == reached
    (values,) = answer(server, "tabular/two_values", [{"a": 2.0, "b": -2.0}])
    assert [(v["label"], v["unit"]) for v in values] == [("sum", "m"), ("difference", "cm")]


def test_series_get_classes_an_anomaly_and_vectors(server):
    (classes,) = answer(server, "timeseries/speed", SERIES)
    assert {entry["label"] for entry in classes} == {"slow", "fast"}
    (scored,) = answer(server, "timeseries/anomaly", SERIES, top_k=1)
    assert scored[0]["label"] == "anomaly"
    assert 0 < scored[0]["score"] < 1
    vectors = answer(server, "timeseries/identity", SERIES)
    assert np.shape(vectors) == (1, 12)
    assert np.linalg.norm(vectors[0]) == pytest.approx(1)


def test_a_picture_gets_a_map_of_numbers_at_its_own_size(server):
    stream = io.BytesIO()
    Image.fromarray(np.full((50, 70, 3), 120, np.uint8)).save(stream, format="PNG")
    url = f"{server.url}/predict/image/depth"
    response = httpx.post(url, content=stream.getvalue(), timeout=30)
    (depth,) = response.json()
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(depth["map"]))))
    assert pixels.shape == (50, 70)
    values = depth["offset"] + depth["step"] * pixels.astype(np.float64)
    assert values.min() == pytest.approx(depth["minimum"])
    assert values.max() == pytest.approx(depth["maximum"])
    assert (depth["label"], depth["unit"]) == ("depth", "m")


def test_every_point_of_a_cloud_gets_a_class(server):
    cloud = np.random.default_rng(0).normal(size=(90, 3)).round(3).tolist()
    labelled = answer(server, "pointcloud/halves", cloud)
    assert len(labelled["labels"]) == 90
    assert labelled["names"] == ["below", "above"]


def test_every_head_is_measured_through_its_graph(checkpoint, repository, tmp_path):
    results = evaluate_checkpoint(
        checkpoint,
        tmp_path,
        repository,
        only=list(TASKS),
        cache=tmp_path / "cache",
        load=lambda spec: TASKS[spec.route],
    )
    figures = {(r.route, r.metric): r.value for r in results}
    wanted = {(t.route, m) for t in TASKS.values() for m in (t.metric, *t.further_metrics)}
    assert figures.keys() == wanted
    assert np.isfinite(list(figures.values())).all()
    assert all(r.baselines for r in results)
