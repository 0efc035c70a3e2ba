"""Real processes of ``omnivec2 train`` that Ctrl-C and SIGTERM stop, and that go on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from tests.support.data_sets.tiny_data import TINY
from tests.support.documents import ROOT

pytestmark = pytest.mark.long

RECIPE = """
preset: tiny
steps: 100000
bf16: false
warm_start: false
tasks:
  imu/activity: {weight: 1, batch_size: 2}
"""
START_SECONDS = 120


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("interrupted")
    (root / "data").mkdir()
    TINY["imu/activity"](root / "data")
    (root / "recipe.yaml").write_text(RECIPE)
    return root


def _start(folder: Path, name: str, *options: str) -> subprocess.Popen[str]:
    places = ("--data", "data", "--run", name, "--checkpoint", f"{name}-checkpoint")
    command = (sys.executable, "-m", "omnivec2_cli.main", "train", "recipe.yaml", *places)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        (*command, "--device", "cpu", *options),
        cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def _wait_for_steps(log: Path, process: subprocess.Popen[str], steps: int = 3) -> None:
    ends = time.monotonic() + START_SECONDS
    while not log.exists() or log.read_text().count("\n") < steps:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < ends, "no step was taken"
        time.sleep(0.02)


def _finish(folder: Path, name: str, *options: str) -> str:
    process = _start(folder, name, *options)
    printed, errors = process.communicate(timeout=START_SECONDS)
    assert process.returncode == 0, errors
    return printed


def _stop(folder: Path, name: str, number: signal.Signals, status: int) -> tuple[int, str]:
    """Stop a run after some steps; return the number of steps that it saved, and its errors."""
    process = _start(folder, name)
    _wait_for_steps(folder / name / "log.jsonl", process)
    process.send_signal(number)
    printed, errors = process.communicate(timeout=60)
    assert process.returncode == status, errors
    assert "1-supervised: step 1 of 100,000, loss imu" in printed  # there is no terminal
    done = json.loads((folder / name / "state" / "state.json").read_text())["step"]
    assert f"stopped and saved after step {done:,}; the state in {name} is kept" in errors
    return done, errors


def test_ctrl_c_saves_the_step_and_the_same_command_goes_on_to_the_same_weights(
    folder: Path,
) -> None:
    done, errors = _stop(folder, "halved", signal.SIGINT, 130)
    assert "omnivec2 train recipe.yaml --data data --run halved " in errors

    last = str(done + 4)
    assert f"resuming at step {done} of 100000" in _finish(folder, "halved", "--stop-after", last)
    _finish(folder, "whole", "--stop-after", last)
    resumed, whole = (
        load_file(folder / each / "state" / "state.safetensors") for each in ("halved", "whole")
    )
    assert resumed.keys() == whole.keys()
    for tensor, value in whole.items():
        assert (resumed[tensor] == value).all(), tensor


def test_sigterm_saves_too(folder: Path) -> None:
    done, _ = _stop(folder, "terminated", signal.SIGTERM, 143)
    assert done >= 3


def test_a_signal_before_the_first_step_stops_at_once(folder: Path) -> None:
    process = _start(folder, "early")
    assert process.stdout is not None
    assert process.stdout.readline().startswith("reading imu/activity")
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 143, errors
    assert "Traceback" not in errors
    assert "run the same command again" in errors
