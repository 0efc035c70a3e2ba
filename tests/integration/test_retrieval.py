"""From recordings to a space that is searched: the commands of docs/retrieval.md."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from export.repository.assembly import assemble
from export.repository.layouts import Layout
from tests.integration.test_adaptation import run
from tests.support.client_environment import run_with_clients
from tests.support.documents import ADDRESS, ROOT, examples
from tests.support.servers import RunningServer, running_server
from tests.support.tiny_data import TINY, utdmhad_inertial

pytestmark = pytest.mark.timeout(600)

WALK = ROOT / "docs" / "retrieval.md"


@pytest.fixture(scope="module")
def deployment(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Path, RunningServer]]:
    """A directory with recordings, and a service of the network that ships."""
    folder = tmp_path_factory.mktemp("retrieval")
    (folder / "data").mkdir()
    TINY["depth/action"](folder / "data")
    utdmhad_inertial(folder / "data")
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "reference").symlink_to(ROOT / "checkpoints" / "reference")
    assemble(ROOT / "checkpoints" / "reference", folder / "model_repo", Layout.SHARED)
    options = ("--model-repo", str(folder / "model_repo"), "--checkpoint", str(folder / "none"))
    with running_server(*options) as server:
        yield folder, server


def test_the_documented_commands_end_in_vectors_of_one_space(
    deployment: tuple[Path, RunningServer],
) -> None:
    folder, server = deployment
    (commands,) = re.findall(r"```bash\n(omnivec2 align.*?)```", WALK.read_text(), re.DOTALL)
    align, *others = commands.strip().splitlines()
    run(f"{align.replace('DATA', 'data')} --steps 20 --tokenizer-steps 2", folder, server)
    for command in others:
        add = " head add " in command
        run(f"{command} --gateway {ADDRESS}" if add else command, folder, server)
    signal = np.random.default_rng(0).normal(size=(200, 6)).tolist()
    clip = io.BytesIO()
    np.save(clip, np.full((16, 60, 80), 2000, dtype=np.uint16))
    encoded = base64.b64encode(clip.getvalue()).decode()
    inputs = {"imu/retrieval": signal, "depth/retrieval": encoded, "text/retrieval": "clap"}
    for route, value in inputs.items():
        vector = embedded(server, route, value)
        assert vector.shape == (128,)
        assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)


def embedded(server: RunningServer, route: str, value: object) -> np.ndarray:
    answer = httpx.post(f"{server.url}/predict/{route}", json={"inputs": value}, timeout=60)
    assert answer.status_code == 200, answer.text
    return np.array(answer.json()[0])


def test_the_documented_walk_finds_in_a_real_database_what_is_nearest(
    deployment: tuple[Path, RunningServer],
) -> None:
    folder, server = deployment
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
        expected = sorted(((v @ query, name) for name, v in vectors.items()), reverse=True)[:5]
        found = [line.split() for line in output.splitlines()]
        assert [name for _, name in found] == [name for _, name in expected]
        scores = [float(score) for score, _ in found]
        np.testing.assert_allclose(scores, [score for score, _ in expected], atol=2e-3)


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
