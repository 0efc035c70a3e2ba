"""From files to an answering route: the commands of docs/adaptation.md, one after the other."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from export.export_run import export_checkpoint, require_ok
from export.repository.assembly import assemble
from export.repository.layouts import Layout
from omnivec2.spec import Modality
from tests.support import adapt_data
from tests.support.documents import ADDRESS, ROOT
from tests.support.servers import RunningServer, running_server

_SEQUENCE = re.compile(r"## From files to a route\n.*?```bash\n(.*?)```", re.DOTALL)
_LONGEST_SECONDS = 240


@pytest.fixture(scope="module", params=list(Layout))
def deployment(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, RunningServer]]:
    """A directory with a base, a folder of pictures, and a service of the base."""
    folder = tmp_path_factory.mktemp(request.param)
    modalities = (Modality.IMAGE, Modality.IMU, Modality.TABULAR, Modality.TEXT)
    base = adapt_data.tiny_base(folder / "checkpoints" / "reference", *modalities)
    require_ok(export_checkpoint(base, layouts=list(Layout)))
    adapt_data.picture_folder(folder / "pictures")
    adapt_data.recordings(folder / "imu.npz")
    adapt_data.number_table(folder / "rows.csv")
    adapt_data.number_table(folder / "new.csv", seed=1)
    adapt_data.text_table(folder / "texts.csv")
    repository = folder / "model_repo"
    assemble(base, repository, request.param)
    options = ("--model-repo", str(repository), "--checkpoint", str(folder / "none"))
    with running_server(*options) as server:
        yield folder, server


def run(line: str, folder: Path, server: RunningServer) -> str:
    """Run a command line as a person types it, and return its standard output."""
    line = line.replace(ADDRESS, server.url)
    line = re.sub(r"^omnivec2 ", f"{sys.executable} -m omnivec2_cli.main ", line)
    line = line.replace("curl ", "curl -sS --fail-with-body ")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    done = subprocess.run(
        ["bash", "-c", line], cwd=folder, env=environment, capture_output=True, text=True,
        timeout=_LONGEST_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_documented_commands_go_from_a_folder_to_an_answer_without_a_restart(
    deployment: tuple[Path, RunningServer],
) -> None:
    folder, server = deployment
    found = _SEQUENCE.search((ROOT / "docs" / "adaptation.md").read_text())
    assert found is not None
    *commands, curl = found[1].strip().splitlines()
    assert [command.split()[1] for command in commands] == ["adapt", "head"]
    process = server.process.pid
    for command in commands:
        run(command, folder, server)
    answer = json.loads(run(curl, folder, server))
    assert answer[0]["label"] == "light"
    assert answer[0]["score"] > 0.9
    dark = httpx.post(
        f"{server.url}/predict/image/defects",
        content=(folder / "pictures" / "dark" / "00.png").read_bytes(),
        timeout=30,
    )
    assert dark.json()[0]["label"] == "dark"
    spec = httpx.get(f"{server.url}/models/image/defects", timeout=10).json()
    assert spec["metrics"][0]["baselines"].keys() == {"majority", "linear"}
    assert spec["data"][0]["licence"] == "not stated"
    assert server.process.pid == process
    assert server.process.poll() is None


def test_a_tokenizer_of_its_own_is_served_beside_the_trunk_that_is_there(
    deployment: tuple[Path, RunningServer],
) -> None:
    folder, server = deployment
    run(
        "omnivec2 adapt --modality imu --task pace --data imu.npz --labels action "
        "--task-family regression --unit Hz --input signal --lengths length "
        "--export",
        folder, server,
    )  # fmt: skip
    add = "omnivec2 head add imu/pace --checkpoint checkpoints/imu_pace"
    run(f"{add} --gateway {ADDRESS}", folder, server)
    signal, labels = adapt_data.waves(4, 40, 6)
    for recording, label in zip(signal.tolist(), labels.tolist(), strict=True):
        answer = httpx.post(
            f"{server.url}/predict/imu/pace", json={"inputs": recording}, timeout=30
        )
        [value] = answer.json()
        assert (value["label"], value["unit"]) == ("action", "Hz")
        assert value["value"] == pytest.approx(label, abs=0.45)


def trunks(folder: Path) -> list[str]:
    return [path.name for path in (folder / "model_repo").iterdir() if "trunk" in path.name]


def test_a_row_is_answered_by_a_head_on_its_own_columns_and_measured_on_new_ones(
    deployment: tuple[Path, RunningServer],
) -> None:
    folder, server = deployment
    before = trunks(folder)
    said = run(
        "omnivec2 adapt --modality tabular --task kind --data rows.csv --labels kind --export",
        folder, server,
    )  # fmt: skip
    assert "reads only the input itself (raw)" in said
    assert "reading train: 64, " in said
    add = "omnivec2 head add tabular/kind --checkpoint checkpoints/tabular_kind"
    run(f"{add} --gateway {ADDRESS}", folder, server)
    for kind, width in (("small", 1.0), ("large", 5.0)):
        row = {"width": width, "height": 2.0, "colour": "red"}
        answer = httpx.post(
            f"{server.url}/predict/tabular/kind", json={"inputs": [row]}, timeout=30
        ).json()
        assert answer[0][0]["label"] == kind, answer
    assert trunks(folder) == before
    said = run(
        "omnivec2 evaluate tabular/kind -c checkpoints/tabular_kind --labelled new.csv "
        "--labels kind --report runs/new",
        folder, server,
    )  # fmt: skip
    assert "new.csv" in said
    assert (
        "| `tabular/kind` | new.csv | test | 80 | accuracy |"
        in (folder / "runs" / "new" / "report.md").read_text()
    )


def test_a_text_is_answered_by_an_adapted_head(deployment: tuple[Path, RunningServer]) -> None:
    folder, server = deployment
    before = trunks(folder)
    run(
        "omnivec2 adapt --modality text --task topic --data texts.csv --labels topic --export",
        folder, server,
    )  # fmt: skip
    add = "omnivec2 head add text/topic --checkpoint checkpoints/text_topic"
    run(f"{add} --gateway {ADDRESS}", folder, server)
    texts = ["The bank lends 3 million, at interest.", 'A cat said "meow", 3 times.']
    answer = httpx.post(
        f"{server.url}/predict/text/topic", json={"inputs": texts}, timeout=30
    ).json()
    assert [scores[0]["label"] for scores in answer] == ["money", "cats"]
    assert trunks(folder) == before
