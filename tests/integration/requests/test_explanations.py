"""Explanations over a real socket, with every runtime and layout, and of the network that ships."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.documents import ROOT
from tests.support.gateways.servers import RunningServer
from tests.support.requests.bad_inputs import GOOD, file

PLACES = {
    "image/classification": "box",
    "video/action": "start",
    "audio/events": "start",
    "text/sentiment": "end",
    "depth/action": "first_frame",
    "pointcloud/classification": "points",
    "graph/solubility": "atom",
    "xray/pneumonia": "box",
    "infrared/objects": "box",
    "imu/activity": "end",
}
"""Head -> a name in the places of its segments."""

ROW = [{"age": 30, "workclass": "Private"}]


@pytest.fixture(scope="module")
def client(tiny_server: RunningServer) -> Any:
    with httpx.Client(base_url=tiny_server.url, timeout=60) as client:
        yield client


def test_every_modality_explains_the_answer_that_it_gives(client: httpx.Client) -> None:
    for route, name in PLACES.items():
        path, content = f"/predict/{route}", file(GOOD[route])
        plain = client.post(path, content=content)
        explained = client.post(path, content=content, params={"explain": "true"})
        assert explained.status_code == 200, explained.text
        body = explained.json()
        assert body["answer"] == plain.json()
        (explanation,) = body["explanations"]
        best = plain.json()[0]
        best = best[0] if isinstance(best, list) else best
        assert explanation["label"] == best["label"]
        assert 1 <= len(explanation["segments"]) <= 64
        for segment in explanation["segments"]:
            assert name in segment
            assert isinstance(segment["value"], float)


def test_a_parameter_asks_for_the_same_as_the_query(client: httpx.Client) -> None:
    path = "/predict/tabular/income"
    by_query = client.post(path, json={"inputs": ROW}, params={"explain": "true"}).json()
    by_parameter = client.post(path, json={"inputs": ROW, "parameters": {"explain": True}}).json()
    assert by_query == by_parameter
    columns = [segment["column"] for segment in by_query["explanations"][0]["segments"]]
    assert columns == ["age", "workclass"]


def test_heads_without_explanations_name_those_that_have_them(client: httpx.Client) -> None:
    answer = client.post("/predict/text/embedding", content="a text", params={"explain": "true"})
    assert answer.status_code == 422
    assert set(PLACES) <= set(answer.json()["known"])
    listed = {
        f"{model['modality']}/{model['task']}": model["explainable"]
        for model in client.get("/models").json()["models"]
    }
    assert {route for route, is_explained in listed.items() if is_explained} == {
        *answer.json()["known"]
    }


def test_an_explanation_keeps_to_the_deadline_of_its_request(client: httpx.Client) -> None:
    answer = client.post(
        "/predict/video/action",
        content=file(GOOD["video/action"]),
        params={"explain": "true"},
        headers={"X-Request-Timeout": "0.001"},
    )
    assert answer.status_code == 504
    assert client.post("/predict/text/sentiment", content="good").status_code == 200


def test_named_tenths_of_the_samples_are_measured(reference_server: str, tmp_path: Path) -> None:
    heads = ("image/classification", "text/sentiment", "tabular/income", "audio/events")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "loadtests.explanations", "--samples"),
            *("--url", reference_server, "--reports", str(tmp_path), "--heads", *heads),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = tmp_path.glob("explanations_*.json")
    rows = {row["head"]: row for row in json.loads(path.read_text())["rows"]}
    assert set(rows) == set(heads)
    lost = [row["named"] - row["random"] for row in rows.values()]
    assert sum(lost) > 0
    assert all(row["evaluations"] <= 64 for row in rows.values())
