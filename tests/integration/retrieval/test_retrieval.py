"""From recordings to a space that is searched: the commands of docs/retrieval.md."""

from __future__ import annotations

import base64
import io
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from typer.testing import CliRunner

from export.repository.assembly import assemble
from export.repository.layouts import Layout
from omnivec2_cli.main import app
from tests.support.data_sets.tiny_data import TINY, utdmhad_inertial
from tests.support.documents import ADDRESS, ROOT
from tests.support.gateways.servers import RunningServer, running_server

pytestmark = pytest.mark.timeout(600)


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


def run(line: str, server: RunningServer) -> None:
    """Run a documented command in this process, which has imported everything."""
    name, *arguments = shlex.split(line.replace(ADDRESS, server.url))
    assert name == "omnivec2"
    outcome = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    assert outcome.exit_code == 0, outcome.output


def test_the_documented_commands_end_in_vectors_of_one_space(
    deployment: tuple[Path, RunningServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, server = deployment
    monkeypatch.chdir(folder)
    (commands,) = re.findall(
        r"```bash\n(omnivec2 align utd-mhad.*?)```",
        (ROOT / "docs" / "retrieval.md").read_text(),
        re.DOTALL,
    )
    align, *others = commands.strip().splitlines()
    run(f"{align.replace('DATA', 'data')} --steps 20 --tokenizer-steps 2", server)
    for command in others:
        # The service has the shared layout; the other would be exported for nothing here.
        rest = f"--gateway {ADDRESS}" if " head add " in command else f"--layout {Layout.SHARED}"
        run(f"{command} {rest}", server)
    signal = np.random.default_rng(0).normal(size=(200, 6)).tolist()
    clip = io.BytesIO()
    np.save(clip, np.full((16, 60, 80), 2000, dtype=np.uint16))
    encoded = base64.b64encode(clip.getvalue()).decode()
    inputs = {"imu/retrieval": signal, "depth/retrieval": encoded, "text/retrieval": "clap"}
    for route, value in inputs.items():
        answer = httpx.post(f"{server.url}/predict/{route}", json={"inputs": value}, timeout=60)
        assert answer.status_code == 200, answer.text
        vector = np.array(answer.json())
        assert vector.shape == (1, 128)
        assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)
