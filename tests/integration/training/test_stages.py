"""All three stages in one run, from the command line: killed, resumed, measured."""

from __future__ import annotations

import json
import os
import random
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from safetensors.torch import load_file

from omnivec2.checkpoint import load_tensors, read_checkpoint
from omnivec2.network.saved_network import load_network
from tests.support.data_sets.tiny_data import TINY
from tests.support.documents import ROOT

TASKS = ("imu/activity", "tabular/income", "graph/solubility")
STEPS = 40
RECIPE = {
    "preset": "tiny",
    "seed": 5,
    "warmup_steps": 4,
    "bf16": False,
    "warm_start": False,
    "checkpoint_every_steps": 3,
    "validate_every_steps": 1000,
    "average_decay": 0.9,
    "stages": [
        {"kind": "masked", "steps": STEPS},
        {"kind": "masked-pairs", "steps": STEPS},
        {"kind": "supervised", "steps": STEPS},
    ],
    "tasks": {route: {"weight": 1, "batch_size": 4} for route in TASKS},
}
STAGES = ("1-masked", "2-masked-pairs", "3-supervised")
DEADLINE_SECONDS = 400
pytestmark = [pytest.mark.timeout(3 * DEADLINE_SECONDS), pytest.mark.long]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    for route in TASKS:
        TINY[route](root)
    return root


PLAIN = "train my-recipe.yaml --data DATA --run runs/mine --checkpoint checkpoints/mine"


def _documented(part: str) -> str:
    """Return the arguments of the command of docs/training.md that contains ``part``."""
    lines = (ROOT / "docs" / "training.md").read_text().splitlines()
    (line,) = (line for line in lines if "/omnivec2 " in line and part in line)
    return line.partition("omnivec2 ")[2]


def _start(folder: Path, data: Path, recipe: dict[str, object], arguments: str = PLAIN):
    folder.mkdir(exist_ok=True)
    (folder / "my-recipe.yaml").write_text(yaml.safe_dump(recipe))
    words = shlex.split(arguments.replace("DATA", shlex.quote(str(data))))
    command = [sys.executable, "-m", "omnivec2_cli.main", *words, "--device", "cpu"]
    one_thread = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, **one_thread},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _finish(process: subprocess.Popen[str]) -> str:
    try:
        output, _ = process.communicate(timeout=DEADLINE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    assert process.returncode == 0, output
    return output


def _rows(folder: Path) -> list[dict[str, object]]:
    log = folder / "runs/mine/log.jsonl"
    lines = log.read_text().splitlines(keepends=True) if log.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def _kill_at(process: subprocess.Popen[str], folder: Path, stage: str, step: int) -> None:
    """Kill the run once a step of a stage is in its log, wherever it is by then."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        rows = _rows(folder)
        if rows and rows[-1]["stage"] == stage and int(str(rows[-1]["step"])) >= step:
            time.sleep(random.uniform(0, 0.02))
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.001)
    if process.poll() is None and time.monotonic() >= deadline:
        process.kill()
        pytest.fail(f"step {step} of {stage} was not reached in time")
    output, _ = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL, output


def test_a_run_killed_in_every_stage_ends_with_the_weights_of_one_that_was_not(
    tmp_path: Path, data: Path
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    uninterrupted = _start(whole, data, RECIPE)
    moments = [(stage, random.randrange(STEPS - 10)) for stage in STAGES]
    for stage, step in moments:
        _kill_at(_start(killed, data, RECIPE), killed, stage, step)
    output = _finish(_start(killed, data, RECIPE))
    assert "resuming at step" in output
    _finish(uninterrupted)
    expected, found = (load_file(f / "runs/mine/state/state.safetensors") for f in (whole, killed))
    assert expected.keys() == found.keys()
    different = [name for name, value in expected.items() if not value.equal(found[name])]
    assert different == [], f"killed at {moments}"
    weights = [(f / "checkpoints/mine/weights.safetensors").read_bytes() for f in (whole, killed)]
    assert weights[0] == weights[1]
    steps = [[{**row, "seconds": 0} for row in _rows(folder)] for folder in (whole, killed)]
    assert steps[0] == steps[1]
    assert [row["stage"] for row in steps[0]] == [s for s in STAGES for _ in range(STEPS)]


def test_one_command_goes_from_a_recipe_to_a_measured_checkpoint(
    tmp_path: Path, data: Path
) -> None:
    two = {route: {"weight": 1, "batch_size": 4} for route in TASKS[:2]}
    short = [{**stage, "steps": 6} for stage in RECIPE["stages"]]  # type: ignore[attr-defined]
    recipe = {**RECIPE, "stages": short, "tasks": two}
    output = _finish(_start(tmp_path, data, recipe, _documented("--evaluate")))
    assert "report.md" in output
    heads = {head.route: head for head in read_checkpoint(tmp_path / "checkpoints/mine").heads}
    embeddings = {f"{route.partition('/')[0]}/embedding" for route in two}
    assert set(heads) == {*two, *embeddings}
    assert all(head.metrics[0].split == "test" for head in heads.values())
    report = (tmp_path / "runs/mine/report.md").read_text()
    assert all(f"`{route}`" in report for route in heads)
    assert all(stage in report for stage in STAGES)
    document = json.loads((tmp_path / "runs/mine/report.json").read_text())
    assert {row["route"] for row in document["results"]} == set(heads)
    assert (tmp_path / "runs/mine/curves.svg").read_text().count('id="loss ') == 3 * len(two)
    shown = re.findall(r"\]\((.+?)\)", report)
    assert {"imu-activity-confusion.png", "imu-activity-samples.png"} <= {
        Path(f).name for f in shown
    }
    assert all((tmp_path / "runs/mine" / file).stat().st_size > 0 for file in shown)
    gaps = {row["route"]: row for row in document["gaps"]}
    assert set(gaps) == set(two)
    assert all(gap["split"] == "test" and 0 <= gap["off"] <= 1 for gap in gaps.values())
    again = _finish(_start(tmp_path, data, recipe, f"{_documented(' gap ')} --json gap.json"))
    assert "regardless of sign" in again
    assert json.loads((tmp_path / "gap.json").read_text())["gaps"] == document["gaps"]
    assert list((tmp_path / "runs/mine/tensorboard").glob("events.out.tfevents.*"))


def test_no_decoder_is_in_a_checkpoint_and_pretraining_alone_ships_no_head(
    tmp_path: Path, data: Path
) -> None:
    pretraining = {**RECIPE, "stages": [{"kind": "masked", "steps": 3}]}
    _finish(_start(tmp_path, data, pretraining))
    assert any(
        "decoder" in name for name in load_file(tmp_path / "runs/mine/state/state.safetensors")
    )
    checkpoint = tmp_path / "checkpoints/mine"
    parts = {name.partition(".")[0] for name in load_tensors(checkpoint)}
    assert parts == {"tokenizers", "trunk"}
    assert read_checkpoint(checkpoint).heads == ()
    assert not load_network(checkpoint).heads
