"""From files of a stranger to answers: described in a recipe, trained, exported, added, asked.

No Python is written for any of the tasks. All are trained in one short run at preset ``tiny``, in
one process, and each is added to a service that runs already.
"""

from __future__ import annotations

import base64
import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from export.export_run import export_checkpoint, require_ok
from export.repository.assembly import assemble
from export.repository.layouts import Layout
from omnivec2.spec import Modality
from omnivec2_cli.main import app
from tests.support.data_sets import adapt_data, own_data
from tests.support.documents import ROOT
from tests.support.gateways.servers import RunningServer, running_server

pytestmark = [pytest.mark.timeout(1800), pytest.mark.long]

_LONGEST_SECONDS = 900
_SMALL = {"height": 64, "width": 96}

Answer = Callable[[str, dict[str, Any]], Any]
"""Asks a head, by its route and httpx's arguments, and returns its answer."""


@dataclass(frozen=True)
class OwnTask:
    """A task of a stranger.

    Attributes:
        make: The function that writes its files into a folder of the name of the task.
        recipe: Its part of the recipe.
        check: The function that asks its head and checks what the answers mean.
    """

    make: Callable[[Path], None]
    recipe: dict[str, Any]
    check: Callable[[Answer, str], None]


def _png(picture: Image.Image) -> dict[str, Any]:
    stream = io.BytesIO()
    picture.save(stream, format="PNG")
    return {"content": stream.getvalue(), "headers": {"Content-Type": "image/png"}}


def _overlap(box: dict[str, int], corners: list[int]) -> float:
    inner = np.minimum([box["xmax"], box["ymax"]], corners[2:]) - np.maximum(
        [box["xmin"], box["ymin"]], corners[:2]
    )
    shared = float(np.prod(inner.clip(min=0)))
    own = (box["xmax"] - box["xmin"]) * (box["ymax"] - box["ymin"])
    return shared / (own + (corners[2] - corners[0]) * (corners[3] - corners[1]) - shared)


def finds_fruit(ask: Answer, route: str) -> None:
    """One of the best boxes lies on the square and has its name; all are inside the picture."""
    found = 0
    for seed, kind in ((101, "apple"), (102, "plum"), (103, "apple"), (104, "plum")):
        picture, [corners] = own_data.fruit(seed, [kind])
        encoded = base64.b64encode(_png(picture)["content"]).decode()
        boxes = ask(route, {"json": {"inputs": encoded, "parameters": {"threshold": 0.05}}})
        assert {one["label"] for one in boxes} <= {"apple", "plum"}
        for one in boxes:
            box = one["box"]
            assert 0 <= box["xmin"] <= box["xmax"] <= own_data.WIDTH
            assert 0 <= box["ymin"] <= box["ymax"] <= own_data.HEIGHT
        found += any(
            one["label"] == kind and _overlap(one["box"], corners) > 0.3 for one in boxes[:3]
        )
    assert found >= 3


def tells_night_from_day(ask: Answer, route: str) -> None:
    """Masks have the size of the picture, do not overlap, and are right nearly everywhere."""
    picture, edge = own_data.half(77)
    segments = ask(route, _png(picture))
    masks = {
        one["label"]: np.asarray(Image.open(io.BytesIO(base64.b64decode(one["mask"])))) > 0
        for one in segments
    }
    assert set(masks) == {"night", "day"}
    assert masks["day"].shape == (own_data.HEIGHT, own_data.WIDTH)
    assert not (masks["day"] & masks["night"]).any()
    assert masks["day"][:, edge:].mean() > 0.9
    assert masks["night"][:, :edge].mean() > 0.9


def tells_floor_from_pillar(ask: Answer, route: str) -> None:
    """Every point has a label, by the name that its number had in the files."""
    points, labels = own_data.cloud(99)
    answer = ask(route, {"json": {"inputs": points.tolist()}})
    assert answer["names"] == ["4", "11"]
    found = np.array([int(answer["names"][index]) for index in answer["labels"]])
    assert found.shape == labels.shape
    assert (found == labels).mean() > 0.85


def names_all_topics(ask: Answer, route: str) -> None:
    """Scores are of each topic by itself: both are high, or both low, where both or none apply."""

    def scores(text: str) -> dict[str, float]:
        answer = ask(route, {"json": {"inputs": text, "parameters": {"top_k": 2}}})
        ranked = answer[0] if isinstance(answer[0], list) else answer
        return {one["label"]: one["score"] for one in ranked}

    both, none = scores("we saw the wide sea and fresh snow"), scores("they like a quiet day")
    sea = scores("pictures of the wide sea")
    assert set(both) == {"sea", "snow"}
    assert min(both.values()) > max(none.values())
    assert sea["sea"] > 0.5 > sea["snow"]


def continues(series: dict[str, list[float]], period: int, horizon: int) -> Callable[..., None]:
    """Return a check of a forecast of waves, whose next values are those of a period before."""

    def check(ask: Answer, route: str) -> None:
        answer = ask(route, {"json": {"inputs": series}})
        assert [one["target"] for one in answer["predictions"]] == list(series)
        for one in answer["predictions"]:
            history = np.array(series[one["target"]])
            expected = history[np.arange(horizon) % period - period]
            error = np.abs(np.array(one["mean"]) - expected).mean()
            assert len(one["mean"]) == horizon
            assert error < 0.5 * np.abs(history - history.mean()).mean()
            levels = [one["quantiles"][level] for level in ("0.1", "0.5", "0.9")]
            assert (np.diff(np.array(levels), axis=0) >= 0).all()

    return check


def tells_gestures_apart(ask: Answer, route: str) -> None:
    """A new slow and a new fast wave are told apart."""
    right = 0
    for seed, kind in ((501, "slow"), (502, "fast"), (503, "slow"), (504, "fast")):
        values = own_data.gesture(kind, seed).tolist()
        answer = ask(route, {"json": {"inputs": {"target": values}}})
        ranked = answer[0] if isinstance(answer[0], list) else answer
        assert {one["label"] for one in ranked} == {"slow", "fast"}
        right += ranked[0]["label"] == kind
    assert right == 4


def hears_pitch(ask: Answer, route: str) -> None:
    """New tones are told apart."""
    for seed, kind in ((901, "high"), (902, "low")):
        wav = {"content": own_data.tone(kind, seed), "headers": {"Content-Type": "audio/wav"}}
        ranked = ask(route, wav)
        assert {one["label"] for one in ranked} == {"high", "low"}
        assert ranked[0]["label"] == kind


_HOURS = np.arange(60)

TASKS = {
    "image/fruit": OwnTask(
        own_data.coco,
        {
            "weight": 4,
            "preprocess": _SMALL,
            "data": {"kind": "coco", "path": "fruit/annotations/instances.json"},
        },
        finds_fruit,
    ),
    "image/basket": OwnTask(
        own_data.yolo,
        {"weight": 4, "preprocess": _SMALL, "data": {"kind": "yolo", "path": "basket"}},
        finds_fruit,
    ),
    "image/daytime": OwnTask(
        own_data.masks,
        {
            "weight": 2,
            "preprocess": _SMALL,
            "data": {
                "kind": "masks",
                "path": "daytime",
                "classes": "daytime/classes.csv",
                "ignore": ["#ffffff"],
            },
        },
        tells_night_from_day,
    ),
    "pointcloud/parts": OwnTask(
        own_data.points,
        {"weight": 1, "data": {"kind": "points", "path": "parts"}},
        tells_floor_from_pillar,
    ),
    "text/topics": OwnTask(
        own_data.tags,
        {
            "weight": 3,
            "data": {
                "kind": "csv",
                "path": "topics/texts.csv",
                "label": "topics",
                "target": {"kind": "tags", "separator": "|"},
            },
        },
        names_all_topics,
    ),
    "timeseries/power": OwnTask(
        own_data.wide,
        {
            "weight": 1,
            "data": {
                "kind": "series",
                "path": "power/wide.csv",
                "context": 48,
                "horizon": 12,
                "split": {
                    "by": "date",
                    "column": "date",
                    "val_from": "2024-01-13",
                    "test_from": "2024-01-15",
                },
            },
        },
        continues(
            {
                "load": own_data.wave(_HOURS, 12, 50).tolist(),
                "oil": own_data.wave(_HOURS, 12, 500).tolist(),
            },
            period=12,
            horizon=12,
        ),
    ),
    "timeseries/sales": OwnTask(
        own_data.long,
        {
            "weight": 1,
            "data": {"kind": "series", "path": "sales/long.csv", "context": 48, "horizon": 7},
        },
        continues({"sold": own_data.wave(_HOURS, 7, 140).tolist()}, period=7, horizon=7),
    ),
    "audio/pitch": OwnTask(
        own_data.tones,
        {
            "weight": 1,
            "preprocess": {"frames": 64},
            "data": {"kind": "audiofolder", "path": "pitch"},
        },
        hears_pitch,
    ),
    "timeseries/gesture": OwnTask(
        own_data.gestures,
        {
            "weight": 1,
            "data": {"kind": "series", "path": "gesture/gestures.csv", "label": "kind"},
        },
        tells_gestures_apart,
    ),
}

_RUN = {
    "preset": "tiny",
    "network": {"f": {"depth": 1}},
    "steps": 260,
    "warmup_steps": 20,
    "bf16": False,
    "average_decay": 0.95,
    "checkpoint_every_steps": 1000,
    "validate_every_steps": 1000,
}


def run(*arguments: str, folder: Path) -> str:
    """Run a command of ``omnivec2`` as a stranger does, and return what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "omnivec2_cli.main", *arguments], cwd=folder, env=environment,
        capture_output=True, text=True, timeout=_LONGEST_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{arguments}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def export(*routes: str, checkpoint: Path) -> None:
    """Run ``omnivec2 export`` in this process, which has imported everything."""
    command = ["export", *routes, "--checkpoint", str(checkpoint), "--layout", "fused"]
    exported = CliRunner().invoke(app, command, env={"COLUMNS": "200"})
    assert exported.exit_code == 0, exported.output


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained and exported checkpoint of all tasks."""
    folder = tmp_path_factory.mktemp("own")
    for route, task in TASKS.items():
        task.make(folder / "data" / route.partition("/")[2])
    recipe = {**_RUN, "tasks": {r: {"batch_size": 8, **t.recipe} for r, t in TASKS.items()}}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    run(
        "train", "recipe.yaml", "--data", "data", "--run", "run", "--checkpoint", "mine",
        "--device", "cpu", folder=folder,
    )  # fmt: skip
    export(*TASKS, checkpoint=folder / "mine")
    return folder


@pytest.fixture(scope="module")
def service(trained: Path) -> Iterator[RunningServer]:
    """A service that serves something else already."""
    base = adapt_data.tiny_base(trained / "base", Modality.IMU)
    require_ok(export_checkpoint(base, layouts=[Layout.FUSED]))
    repository = trained / "model_repo"
    assemble(base, repository, Layout.FUSED)
    options = ("--model-repo", str(repository), "--checkpoint", "none", "--grpc-port", "0")
    with running_server(*options, settings={"refresh_seconds": 0.25}) as server:
        yield server


def add_head(route: str, checkpoint: str, folder: Path, service: RunningServer) -> None:
    """Add a head to the service while it runs."""
    command = [
        "head", "add", route, "--checkpoint", str(folder / checkpoint),
        "--model-repo", str(folder / "model_repo"), "--gateway", service.url,
    ]  # fmt: skip
    added = CliRunner().invoke(app, command, env={"COLUMNS": "200"})
    assert added.exit_code == 0, added.output


def asker(service: RunningServer) -> Answer:
    """Return what asks the service and expects an answer."""

    def ask(route: str, arguments: dict[str, Any]) -> Any:
        answer = httpx.post(f"{service.url}/predict/{route}", timeout=60, **arguments)
        assert answer.status_code == 200, answer.text
        return answer.json()

    return ask


@pytest.mark.parametrize("route", TASKS)
def test_own_data_becomes_a_head_that_answers_sensibly(
    route: str, trained: Path, service: RunningServer
) -> None:
    add_head(route, "mine", trained, service)
    TASKS[route].check(asker(service), route)
    spec = httpx.get(f"{service.url}/models/{route}", timeout=10).json()
    assert spec["network"] == "custom"  # one layer less than the preset
    assert service.process.poll() is None


def test_a_table_of_pairs_puts_texts_and_sounds_into_one_space(
    trained: Path, service: RunningServer
) -> None:
    run(
        "align", "data/pitch/pairs.csv", "--column", "text=caption", "--column", "audio=file",
        "--split", "part", "--task", "sounding", "--checkpoint", "mine", "--out", "aligned",
        "--steps", "150", "--data", "data", folder=trained,
    )  # fmt: skip
    routes = ("text/sounding", "audio/sounding")
    export(*routes, checkpoint=trained / "aligned")
    for route in routes:
        add_head(route, "aligned", trained, service)
    ask = asker(service)
    sounds = [
        ask(
            routes[1],
            {"content": own_data.tone(kind, 950), "headers": {"Content-Type": "audio/wav"}},
        )
        for kind in ("high", "low")
    ]
    texts = ask(
        routes[0],
        {
            "json": {
                "inputs": ["we hear a high whistle in the hall", "we hear a low rumble in the hall"]
            }
        },
    )
    similarity = np.array(texts).reshape(2, -1) @ np.array(sounds).reshape(2, -1).T
    # Each is closer to its own partner than to the other's, taken together.
    assert np.trace(similarity) > similarity[0, 1] + similarity[1, 0] + 0.1
