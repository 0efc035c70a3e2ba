"""The Python API and ``omnivec2 batch`` against a running service: the same answers everywhere."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image

import omnivec2
from omnivec2.spec import TaskFamily
from tests.support.documents import ROOT
from tests.support.gateways.servers import EXACT, RunningServer, running_server
from tests.support.model_repositories.tiny_models import tiny_heads, write_repository

DATA = ROOT / "tests" / "data"
INPUTS = {
    "image": DATA / "image/blood_smear.jpg",
    "video": DATA / "video/fight.mp4",
    "audio": DATA / "audio/dog_bark.ogg",
    "text": "a moving film",
    "depth": DATA / "depth/ball_sequence.npy",
    "pointcloud": DATA / "pointcloud/table.npy",
    "timeseries": DATA / "timeseries/hourly.csv",
    "tabular": {"age": 39, "workclass": "State-gov"},
    "graph": "CCO",
    "xray": DATA / "xray/chest_normal.dcm",
    "infrared": DATA / "infrared/person_16bit.tiff",
    "imu": DATA / "imu/walk.csv",
    "hyperspectral": DATA / "hyperspectral/field.npy",
}
PAIR = {"text": "one", "text_pair": "two"}
ROUTES = [head.route for head in tiny_heads()]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository of the server that ``embedded_tiny`` runs, once more."""
    return write_repository(tmp_path_factory.mktemp("repository"), tiny_heads())


@pytest.fixture(scope="module")
def model(repository: Path) -> Iterator[omnivec2.Model]:
    with omnivec2.load(repository, engine="onnxruntime", precision="fp32") as loaded:
        yield loaded


@pytest.fixture(scope="module")
def client(embedded_tiny: RunningServer) -> Iterator[omnivec2.Client]:
    with omnivec2.Client(embedded_tiny.url) as opened:
        yield opened


def input_of(route: str) -> object:
    return PAIR if route == "text/paraphrase" else INPUTS[route.partition("/")[0]]


@pytest.mark.parametrize("route", ROUTES)
def test_a_network_in_this_process_answers_as_the_service(
    route: str, model: omnivec2.Model, client: omnivec2.Client
) -> None:
    local, remote = (one.predict(route, input_of(route)) for one in (model, client))
    assert type(local) is type(remote)
    assert local.value == remote.value
    assert [note.code for note in local.notes] == [note.code for note in remote.notes]
    assert local.version == remote.version


def test_an_array_gets_the_answer_of_its_file(
    model: omnivec2.Model, client: omnivec2.Client
) -> None:
    with Image.open(DATA / "image/blood_smear.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    for one in (model, client):
        of_file = one.predict("image/classification", DATA / "image/blood_smear.png")
        assert one.predict("image/classification", pixels).value == of_file.value


def test_the_answer_is_that_of_plain_http(
    client: omnivec2.Client, embedded_tiny: RunningServer
) -> None:
    data = (DATA / "image/blood_smear.jpg").read_bytes()
    plain = httpx.post(f"{embedded_tiny.url}/predict/image/classification", content=data)
    assert client.predict("image/classification", data).value == plain.json()


def test_heads_are_the_same(model: omnivec2.Model, client: omnivec2.Client) -> None:
    assert set(model.heads) == set(client.heads) == set(ROUTES)
    assert {head.family for head in client.heads.values()} <= set(TaskFamily)


def test_errors_are_the_same(model: omnivec2.Model, client: omnivec2.Client) -> None:
    messages = []
    for one in (model, client):
        with pytest.raises(omnivec2.InputError) as failed:
            one.predict("image/classification", b"\xff\xd8\xff rubbish")
        messages.append((type(failed.value), str(failed.value), failed.value.field))
    assert messages[0] == messages[1]


def test_the_asynchronous_client_answers_as_the_other(
    client: omnivec2.Client, embedded_tiny: RunningServer
) -> None:
    async def ask() -> list[object]:
        async with omnivec2.AsyncClient(embedded_tiny.url) as opened:
            texts = [f"film {number}" for number in range(50)]
            batch = [answer async for answer in opened.predict_batch("text/sentiment", texts)]
            tasks = await opened.predict_tasks(
                "image", ["classification", "embedding"], INPUTS["image"]
            )
            vector = await opened.embed("text", "film 1")
            return [batch[1].value, tasks["embedding"].value, vector.value]

    first, second, third = asyncio.run(ask())
    assert first == client.predict("text/sentiment", "film 1").value
    assert second == client.embed("image", INPUTS["image"]).value
    assert third == client.embed("text", "film 1").value


def test_a_key_is_needed_where_the_service_asks_for_one(tmp_path: Path, repository: Path) -> None:
    keys = tmp_path / "keys.json"
    command = [sys.executable, "-m", "omnivec2_cli.main", "key", "create", "test"]
    done = subprocess.run(
        [*command, "--file", str(keys)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    key = next(word for word in done.stdout.split() if len(word) > 20)
    options = ("--model-repo", str(repository), "--checkpoint", "none", "--only", "text/sentiment")
    with running_server(*options, settings={"api_keys_file": keys}) as server:
        with omnivec2.Client(server.url) as stranger, pytest.raises(omnivec2.OmniVecError):
            stranger.predict("text/sentiment", "a film")
        with omnivec2.Client(server.url, api_key=key) as known:
            assert known.predict("text/sentiment", "a film").value


def _batch(*arguments: object) -> list[str]:
    command = [sys.executable, "-m", "omnivec2_cli.main", "batch", "image/classification,embedding"]
    return [*command, *map(str, arguments)]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 1,500 small pictures with sub-folders, two of which cannot be read."""
    root = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for number in range(1500):
        path = root / f"{number // 500}" / f"{number:04d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (24, 32, 3), np.uint8)).save(path)
    (root / "0" / "0007.png").write_bytes(b"\x89PNG rubbish")
    (root / "2" / "1400.png").write_bytes(b"")
    return root


def test_a_batch_that_is_killed_goes_on(photos: Path, repository: Path, tmp_path: Path) -> None:
    environment = os.environ | EXACT
    options = ("--model-repo", repository, "--checkpoint", "none")
    out = tmp_path / "photos.parquet"
    parts = tmp_path / "photos.parquet.parts"
    command = _batch(photos, "--out", out, *options)
    killed = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE)
    last = time.monotonic() + 60
    while not list(parts.glob("part-*.parquet")) and killed.poll() is None:
        assert time.monotonic() < last, "no part was written"
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert not out.exists()
    done = subprocess.run(
        [*command, "--json"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    summary = json.loads(done.stdout)
    assert summary["resumed"] >= 256
    assert (summary["inputs"], summary["rows"], summary["failed"]) == (1500, 1500, 2)
    rows = pyarrow.parquet.read_table(out).to_pylist()
    assert [row["path"] for row in rows] == [f"{n // 500}/{n:04d}.png" for n in range(1500)]
    assert [row["path"] for row in rows if row["error"]] == ["0/0007.png", "2/1400.png"]
    assert not parts.exists()


def test_a_batch_of_a_service_has_the_same_answers(
    photos: Path, model: omnivec2.Model, embedded_tiny: RunningServer, tmp_path: Path
) -> None:
    out = tmp_path / "photos.jsonl"
    command = _batch(f"{photos}/1/05*.png", "--out", out, "--server", embedded_tiny.url)
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) == 100
    answers = model.predict_tasks("image", ["classification", "embedding"], rows[5]["path"])
    assert rows[5]["classification_scores"] == answers["classification"].value
    assert [rows[5]["embedding"]] == answers["embedding"].value
