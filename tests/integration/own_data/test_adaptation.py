"""From files to an answering route: the commands of docs/adaptation.md, one after the other.

All heads are fitted, exported and added to one running service; it has the shared layout, which is
the default. Heads of whole graphs are added to another.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from typer.testing import CliRunner

from export.export_run import export_checkpoint, require_ok
from export.repository.assembly import assemble
from export.repository.layouts import Layout
from omnivec2.spec import Modality
from omnivec2_cli.main import app
from tests.support.data_sets import adapt_data
from tests.support.documents import ADDRESS, ROOT
from tests.support.gateways.servers import RunningServer, running_server

pytestmark = pytest.mark.long

_SEQUENCE = re.compile(r"## From files to a route\n.*?```bash\n(.*?)```", re.DOTALL)
_LONGEST_SECONDS = 240
_MODALITIES = (
    Modality.IMAGE,
    Modality.IMU,
    Modality.TABULAR,
    Modality.TEXT,
    Modality.TIMESERIES,
)


@dataclass(frozen=True)
class Deployment:
    """A directory with a base and labelled files, and a service of the base."""

    folder: Path
    server: RunningServer

    def command(self, *arguments: str) -> str:
        """Run a command in this process, which has imported everything, and return its output."""
        outcome = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
        assert outcome.exit_code == 0, outcome.output
        return outcome.output

    def adapt(self, route: str, *options: str) -> str:
        """Fit a head, export it, add it to the service, and return what was printed."""
        modality, task = route.split("/")
        checkpoint = f"checkpoints/{modality}_{task}"
        said = self.command("adapt", "--modality", modality, "--task", task, *options, "--export")
        self.command("head", "add", route, "--checkpoint", checkpoint, "--gateway", self.server.url)
        return said

    def ask(self, route: str, inputs: Any, **parameters: Any) -> Any:
        """Return a head's answer over HTTP."""
        body = {"inputs": inputs, "parameters": parameters}
        answer = httpx.post(f"{self.server.url}/predict/{route}", json=body, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def evaluate(self, route: str, *options: str) -> tuple[str, str]:
        """Measure a head on new files; return what was printed, and the report."""
        checkpoint = f"checkpoints/{route.replace('/', '_')}"
        said = self.command("evaluate", route, "-c", checkpoint, *options, "--report", "runs/new")
        return said, Path("runs/new/report.md").read_text()

    def trunks(self) -> list[str]:
        """Return the names of the trunks that the service may load."""
        return [
            path.name for path in (self.folder / "model_repo").iterdir() if "trunk" in path.name
        ]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a base, exported in parts, and labelled files of every form."""
    folder = tmp_path_factory.mktemp("adapted")
    checkpoint = adapt_data.tiny_base(folder / "checkpoints" / "reference", *_MODALITIES)
    require_ok(export_checkpoint(checkpoint, layouts=[Layout.SHARED]))
    adapt_data.picture_folder(folder / "pictures")
    adapt_data.recordings(folder / "imu.npz")
    adapt_data.number_table(folder / "rows.csv")
    adapt_data.number_table(folder / "new.csv", seed=1)
    adapt_data.tag_table(folder / "tags.csv")
    adapt_data.tag_table(folder / "new_tags.csv", seed=1)
    adapt_data.load_table(folder / "load.csv")
    adapt_data.load_table(folder / "new_load.csv", steps=120, seed=1)
    adapt_data.long_waves(folder / "waves.csv")
    return folder


@pytest.fixture(scope="module")
def deployment(base: Path) -> Iterator[Deployment]:
    """The base's folder as the current one, and a service of its shared layout."""
    repository = base / "model_repo"
    assemble(base / "checkpoints" / "reference", repository, Layout.SHARED)
    before = Path.cwd()
    os.chdir(base)
    try:
        options = ("--model-repo", str(repository), "--checkpoint", str(base / "none"))
        with running_server(*options) as server:
            yield Deployment(base, server)
    finally:
        os.chdir(before)


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


def documented() -> Sequence[str]:
    """Return the commands of the document."""
    found = _SEQUENCE.search((ROOT / "docs" / "adaptation.md").read_text())
    assert found is not None
    return found[1].strip().splitlines()


def test_the_documented_commands_go_from_a_folder_to_an_answer_without_a_restart(
    deployment: Deployment,
) -> None:
    folder, server = deployment.folder, deployment.server
    *commands, curl = documented()
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
    accuracy, calibration = spec["metrics"]
    assert accuracy["baselines"].keys() == {"majority", "linear"}
    assert (calibration["name"], calibration["higher_is_better"]) == ("ece", False)
    assert spec["data"][0]["licence"] == "not stated"
    assert server.process.pid == process
    assert server.process.poll() is None


def test_a_tokenizer_of_its_own_is_served_beside_the_trunk_that_is_there(
    deployment: Deployment,
) -> None:
    deployment.adapt(
        "imu/pace", "--data", "imu.npz", "--labels", "action", "--task-family", "regression",
        "--unit", "Hz", "--input", "signal", "--lengths", "length",
    )  # fmt: skip
    signal, labels = adapt_data.waves(4, 40, 6)
    for recording, label in zip(signal.tolist(), labels.tolist(), strict=True):
        [value] = deployment.ask("imu/pace", recording)
        assert (value["label"], value["unit"]) == ("action", "Hz")
        assert value["value"] == pytest.approx(label, abs=0.45)


def test_a_row_is_answered_by_a_head_on_its_own_columns_and_measured_on_new_ones(
    deployment: Deployment,
) -> None:
    before = deployment.trunks()
    said = deployment.adapt("tabular/kind", "--data", "rows.csv", "--labels", "kind")
    assert "reads only the input itself (raw)" in said
    assert "reading train: 64, " in said
    for kind, width in (("small", 1.0), ("large", 5.0)):
        row = {"width": width, "height": 2.0, "colour": "red"}
        answer = deployment.ask("tabular/kind", [row])
        assert answer[0][0]["label"] == kind, answer
    assert deployment.trunks() == before
    said, report = deployment.evaluate("tabular/kind", "--labelled", "new.csv", "--labels", "kind")
    assert "new.csv" in said
    assert "| `tabular/kind` | new.csv | test | 80 | accuracy |" in report
    assert "| `tabular/kind` | new.csv | test | 80 | ece |" in report


def test_texts_get_any_number_of_tags_and_are_measured_on_new_ones(deployment: Deployment) -> None:
    before = deployment.trunks()
    deployment.adapt(
        "text/tags", "--task-family", "multi-label", "--data", "tags.csv", "--labels", "tags",
        "--input", "sentence",
    )  # fmt: skip
    texts = ["The cat said meow. A bank lends. Number 3.", "The cat said meow. Number 9."]
    both, one = deployment.ask("text/tags", texts)
    assert {found["label"] for found in both} == {"cats", "money"}
    assert [found["label"] for found in one] == ["cats"]
    assert deployment.trunks() == before
    _, report = deployment.evaluate(
        "text/tags", "--labelled", "new_tags.csv", "--labels", "tags", "--input", "sentence"
    )
    assert "| `text/tags` | new_tags.csv | test | 60 | map | majority " in report


def test_series_are_continued_with_quantiles_and_measured_on_new_ones(
    deployment: Deployment,
) -> None:
    before = deployment.trunks()
    said = deployment.adapt(
        "timeseries/load", "--task-family", "forecasting", "--data", "load.csv", "--horizon", "12"
    )
    assert "seasonal " in said
    values = 100 + 20 * np.sin(np.arange(64) * 2 * np.pi / 12)
    [forecast] = deployment.ask("timeseries/load", values.tolist())["predictions"]
    assert np.abs(np.array(forecast["mean"]) - values[-12:]).max() < 5
    low, high = (np.array(forecast["quantiles"][level]) for level in ("0.1", "0.9"))
    assert (low < high).all()
    assert deployment.trunks() == before
    _, report = deployment.evaluate("timeseries/load", "--labelled", "new_load.csv")
    assert "| `timeseries/load` | new_load.csv | test | 90 | mse | naive " in report


def test_heads_of_whole_graphs_answer_as_those_in_parts(
    deployment: Deployment, tmp_path: Path
) -> None:
    # A whole graph brings its trunk along: a service of any other head will do.
    other = adapt_data.tiny_base(tmp_path / "other", Modality.IMU)
    require_ok(export_checkpoint(other, layouts=[Layout.FUSED]))
    assemble(other, tmp_path / "fused", Layout.FUSED)
    options = ("--model-repo", str(tmp_path / "fused"), "--checkpoint", str(tmp_path / "none"))
    asked: dict[str, Any] = {
        "tabular/kind": [{"width": 1.0, "height": 2.0, "colour": "red"}],
        "timeseries/load": (100 + np.arange(64.0)).tolist(),
    }
    with running_server(*options) as server:
        whole = Deployment(tmp_path, server)
        for route, inputs in asked.items():
            checkpoint = f"checkpoints/{route.replace('/', '_')}"
            if not Path(checkpoint).is_dir():
                pytest.skip(f"{route} was not adapted: run the whole file")
            whole.command("head", "add", route, "--checkpoint", checkpoint,
                          "--model-repo", str(tmp_path / "fused"),
                          "--gateway", server.url)  # fmt: skip
            assert _numbers(whole.ask(route, inputs)) == pytest.approx(
                _numbers(deployment.ask(route, inputs)), rel=1e-4, abs=1e-4
            )


def _numbers(answer: Any) -> list[float]:
    """Return all numbers of an answer, in their order."""
    if isinstance(answer, dict):
        return [number for key in sorted(answer) for number in _numbers(answer[key])]
    if isinstance(answer, list):
        return [number for each in answer for number in _numbers(each)]
    return [answer] if isinstance(answer, float) else []
