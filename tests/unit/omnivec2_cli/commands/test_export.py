"""``omnivec2 export`` and ``engines`` on checkpoints that are exported already."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from export.repository.triton_options import CostTable, read_cost_table
from omnivec2.checkpoint import read_checkpoint
from omnivec2.model_config import read_config
from tests.support.checkpoints.pretend_exports import make_checkpoint
from tests.support.checkpoints.runnable_exports import export_tiny_graphs
from tests.support.command_line import run

HEADS = {"imu_activity", "imu_gesture"}
PARTS = {"trunk", "tokenizer_imu", "head_imu_activity", "head_imu_gesture"}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("exported") / "mine", "activity", "gesture")


@pytest.fixture
def checkpoint(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "mine"))


def models(repository: Path) -> set[str]:
    return {path.parent.name for path in repository.glob("*/config.pbtxt")}


def test_graphs_that_are_up_to_date_are_left_alone_and_no_repository_is_written(
    checkpoint: Path, tmp_path: Path
) -> None:
    before = {path: path.stat().st_mtime_ns for path in checkpoint.rglob("*")}
    result = run("export", "--checkpoint", checkpoint)
    assert result.exit_code == 0, result.output
    assert "up to date: 2 heads" in result.stdout
    assert {path: path.stat().st_mtime_ns for path in checkpoint.rglob("*")} == before
    assert list(tmp_path.iterdir()) == [checkpoint]


@pytest.mark.parametrize(("layout", "expected"), [("fused", HEADS), ("shared", HEADS | PARTS)])
def test_a_repository_of_the_wanted_layout_is_written_with_its_number_of_models(
    checkpoint: Path, tmp_path: Path, layout: str, expected: set[str]
) -> None:
    out = tmp_path / "repository"
    result = run("export", "-c", checkpoint, "--layout", layout, "--out", out)
    assert result.exit_code == 0, result.output
    assert f"{len(expected)} models in {out}" in result.stdout
    assert models(out) == expected


@pytest.mark.parametrize("options", [("--precision", "fp16"), ("--engine", "tensorrt")])
def test_another_engine_or_precision_needs_a_repository_to_be_written(
    checkpoint: Path, options: tuple[str, str]
) -> None:
    result = run("export", "-c", checkpoint, *options)
    assert result.exit_code == 2
    assert "--out" in result.stderr


@pytest.mark.parametrize("options", [("--engine", "tensorrt"), ("--layout", "fused")])
def test_int8_is_refused_where_there_is_no_trunk_of_its_own(
    checkpoint: Path, options: tuple[str, str]
) -> None:
    result = run("export", "-c", checkpoint, "--precision", "int8", *options)
    assert result.exit_code == 2
    assert "shared layout" in result.stderr


def test_int8_without_data_says_what_is_missing(checkpoint: Path, tmp_path: Path) -> None:
    result = run("export", "-c", checkpoint, "--precision", "int8", "--data", tmp_path / "none")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")


def test_a_precision_that_the_engine_cannot_run_is_refused_before_anything_is_written(
    checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "repository"
    result = run("export", "-c", checkpoint, "--precision", "bf16", "--out", out)
    assert result.exit_code == 1
    assert "bf16" in result.stderr
    assert not out.exists()


def test_graphs_that_cannot_be_converted_fail_in_one_line(checkpoint: Path, tmp_path: Path) -> None:
    (checkpoint / "models" / "imu_activity" / "model.onnx").unlink()
    out = tmp_path / "repository"
    options = ("--layout", "fused", "--precision", "fp16", "--out", out)
    result = run("export", "-c", checkpoint, *options)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")


def test_a_head_that_the_checkpoint_lacks_is_named(checkpoint: Path) -> None:
    result = run("export", "imu/smell", "-c", checkpoint)
    assert result.exit_code == 2
    assert "imu/smell" in result.stderr


@pytest.mark.parametrize("command", ["export", "assemble"])
def test_a_checkpoint_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(tmp_path)  # where no repository is that could be used without one
    result = run(command, "-c", tmp_path / "none")
    assert result.exit_code == 1
    assert str(tmp_path / "none") in result.stderr


def test_assembling_says_how_many_models_there_are(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "repository"
    result = run("assemble", "-c", checkpoint, "--layout", "fused", "--model-repo", out)
    assert result.exit_code == 0, result.output
    assert f"2 models in {out}" in result.stdout
    assert json.loads((out / ".assembled.json").read_text())["layout"] == "fused"


def test_a_repository_is_assembled_for_a_backend_and_by_costs(
    checkpoint: Path, tmp_path: Path
) -> None:
    out, costs = tmp_path / "repository", tmp_path / "costs.json"
    table = CostTable(engine="openvino", cores=6, seconds={"trunk": {1: 0.01}})
    costs.write_text(table.model_dump_json())
    assembled = ("assemble", "-c", checkpoint, "--model-repo", out)
    result = run(*assembled, "--backend", "openvino", "--costs", costs)
    assert result.exit_code == 0, result.output
    trunk = read_config(out / "trunk" / "config.pbtxt")
    assert (trunk.backend, trunk.instance_group[0].count) == ("openvino", 6)
    refused = run(*assembled, "--backend", "onnxruntime", "--costs", costs)
    assert refused.exit_code == 1
    assert "was measured with openvino, not onnxruntime" in refused.stderr
    assert read_config(out / "trunk" / "config.pbtxt") == trunk


def test_costs_that_are_not_there_are_measured_and_written(tmp_path: Path) -> None:
    source = make_checkpoint(tmp_path / "mine", "activity")
    checkpoint = read_checkpoint(source)
    export_tiny_graphs(checkpoint)
    out, costs = tmp_path / "repository", tmp_path / "costs.json"
    assembled = ("assemble", "-c", source, "--layout", "fused", "--model-repo", out)
    result = run(*assembled, "--costs", costs)
    assert result.exit_code == 0, result.output
    assert list(read_cost_table(costs).seconds) == ["imu_activity"]


def test_plans_are_not_built_on_a_machine_that_cannot_run_them(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    out = tmp_path / "plans"
    building = ("export", "--engine", "tensorrt", "--out", out)
    for command in (("engines", "--model-repo", out), building):
        result = run(*command, "-c", checkpoint)
        assert result.exit_code == 1
        assert "tensorrt" in result.stderr.lower()
        assert not out.exists()
