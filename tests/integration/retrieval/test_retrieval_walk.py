"""The walk of docs/retrieval.md, from a folder to what is found, with a real vector database.

The heads are tiny graphs: what is near in their space has no meaning, but the database must find
what the service's own vectors say is nearest.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from omnivec2.spec import HeadSpec, TaskFamily
from tests.integration.own_data.test_adaptation import run
from tests.support.documents import ADDRESS, ROOT, examples
from tests.support.environments.client_environment import run_with_clients
from tests.support.gateways.servers import RunningServer, running_server
from tests.support.model_repositories import tiny_models
from tests.support.model_repositories.tiny_graphs import tiny_graph
from tests.support.model_repositories.tiny_models import head_spec, write_repository

WALK = ROOT / "docs" / "retrieval.md"
CHANNELS = ["acc_x", "acc_y", "acc_z", "gyro_x", "gyro_y", "gyro_z"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A service with a head of one space for each of the walk's modalities."""
    sensor = {"window": 64, "rate_hz": 50, "channels": CHANNELS}
    heads = [
        head_spec(f"{modality}/retrieval", TaskFamily.EMBEDDING, {"embedding": (32,)}, parameters)
        for modality, parameters in (("imu", sensor), ("depth", {}), ("text", {}))
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny_models, "tiny_graph", curved_graph)
        root = write_repository(tmp_path_factory.mktemp("repository"), heads)
    with running_server("--model-repo", str(root), "--checkpoint", "none") as running:
        yield running


def curved_graph(head: HeadSpec, scale: float = 1.0) -> onnx.ModelProto:
    """A tiny graph whose vectors point in many directions: waves of what others answer."""
    model = tiny_graph(head, scale)
    phase = np.random.default_rng(0).uniform(0, 6, 32).astype(np.float32)
    model.graph.node[-1].output[0] = "straight"
    model.graph.initializer.append(numpy_helper.from_array(phase, "phase"))
    # The means of small signals differ by little.
    model.graph.initializer.append(numpy_helper.from_array(np.array(2000, np.float32), "steep"))
    model.graph.node.append(helper.make_node("Mul", ["straight", "steep"], ["spread"]))
    model.graph.node.append(helper.make_node("Add", ["spread", "phase"], ["shifted"]))
    model.graph.node.append(helper.make_node("Sin", ["shifted"], ["embedding"]))
    return model


def embedded(server: RunningServer, route: str, value: object) -> np.ndarray:
    answer = httpx.post(f"{server.url}/predict/{route}", json={"inputs": value}, timeout=60)
    assert answer.status_code == 200, answer.text
    return np.array(answer.json()[0])


def test_the_documented_walk_finds_in_a_real_database_what_is_nearest(
    server: RunningServer, tmp_path: Path
) -> None:
    folder = tmp_path
    signals = write_recordings(folder / "recordings", count=12)
    (folder / "recordings" / "broken.csv").write_text("acc_x,acc_y\n1,")
    clip = np.random.default_rng(1).integers(500, 4000, (16, 60, 80)).astype(np.uint16)
    np.save(folder / "clip.npy", clip)
    text = WALK.read_text()
    (batch,) = re.findall(r"```bash\n(omnivec2 batch.*?)\n```", text, re.DOTALL)
    run(f"{batch} || test $? -eq 3", folder, server)
    index, by_words, by_clip = [
        run_with_clients("-c", example.code.replace(ADDRESS, server.url), cwd=folder)
        for example in examples(WALK, mark="run walk")
    ]
    assert index.split() == [str(len(signals))]
    vectors = {name: embedded(server, "imu/retrieval", value) for name, value in signals.items()}
    encoded = base64.b64encode((folder / "clip.npy").read_bytes()).decode()
    for output, query in (
        (by_words, embedded(server, "text/retrieval", "throw")),
        (by_clip, embedded(server, "depth/retrieval", encoded)),
    ):
        scores = {name: float(vector @ query) for name, vector in vectors.items()}
        found = [(name, float(score)) for score, name in map(str.split, output.splitlines())]
        assert len({name for name, _ in found}) == 5
        # Those found have the scores that are printed, and no other recording has a better one.
        np.testing.assert_allclose([s for _, s in found], [scores[n] for n, _ in found], atol=1e-3)
        best = sorted(scores.values(), reverse=True)[:5]
        np.testing.assert_allclose([score for _, score in found], best, atol=1e-3)
    assert len(set(np.round(list(scores.values()), 3))) > 3


def write_recordings(folder: Path, count: int) -> dict[str, list[list[float]]]:
    """Write recordings of the motion sensor as CSV, and return them by name."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    signals = {}
    for number in range(count):
        # Each moves along another axis and at another pace, so that their vectors differ.
        phase = np.arange(200)[:, None] * (0.05 + 0.02 * number) + rng.uniform(0, 6, 6)
        signal = np.sin(phase) * rng.uniform(0.2, 2.0, 6) + rng.normal(0, 0.05, (200, 6))
        rows = np.round(signal, 4)
        name = f"{number:02}.csv"
        header = "acc_x,acc_y,acc_z,gyro_x,gyro_y,gyro_z"
        np.savetxt(folder / name, rows, "%.4f", ",", header=header, comments="")
        signals[name] = rows.tolist()
    return signals
