"""When TensorRT plans are built again, and that building them needs no torch."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tensorrt_rtx_bindings as trt

from export.export_run import export_checkpoint, require_ok
from export.exported_checkpoint import read_exported_checkpoint
from export.repository.build_target import BuildTarget
from export.repository.layouts import Layout
from export.tensorrt.plan_cache import KEY_FILE, PlansKey, ensure_plans, plans_key, why_build
from omnivec2.passport import PARITY_TOLERANCES, PLAN_FILE, load_passport, verify_passport

pytestmark = pytest.mark.long

# TensorRT for RTX builds where there is no GPU, and then there is no fingerprint either.
TARGET = BuildTarget("tensorrt", "fp16", trt)
MODELS = {"imu_activity", "imu_embedding", "tokenizer_imu", "trunk"}


@pytest.fixture(scope="module")
def checkpoint(sensor_export: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny network of one modality, really exported in parts."""
    directory = shutil.copytree(sensor_export, tmp_path_factory.mktemp("exported") / "checkpoint")
    require_ok(export_checkpoint(directory, layouts=[Layout.SHARED], force=False))
    return directory


@pytest.fixture(scope="module")
def built(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of its plans."""
    out = tmp_path_factory.mktemp("plans")
    assert ensure_plans(checkpoint, out, Layout.SHARED, TARGET) == "there are none"
    return out


@pytest.fixture
def key(checkpoint: Path) -> PlansKey:
    return plans_key(read_exported_checkpoint(checkpoint), Layout.SHARED, TARGET)


def test_plans_and_passports_are_written_for_every_part(built: Path) -> None:
    assert {path.parent.name for path in built.glob("*/config.pbtxt")} >= MODELS
    for name in ("trunk", "head_imu_activity"):
        passport = verify_passport(built / name / "1")
        assert (passport.engine, passport.precision) == ("tensorrt", "fp16")
        assert (built / name / "1" / PLAN_FILE).stat().st_size > 0


def test_the_error_of_the_exported_graph_is_added(built: Path, checkpoint: Path) -> None:
    exported = load_passport(checkpoint / "parts/trunk/passport.json").max_relative_error
    recorded = verify_passport(built / "trunk" / "1").max_relative_error
    assert exported < recorded < PARITY_TOLERANCES["fp16"]


def test_nothing_is_built_while_graphs_gpu_and_release_are_the_same(
    built: Path, checkpoint: Path
) -> None:
    plan = built / "trunk" / "1" / PLAN_FILE
    before = plan.stat().st_mtime_ns
    assert ensure_plans(checkpoint, built, Layout.SHARED, TARGET) == ""
    assert plan.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("passports", "0" * 64),
        ("gpu", "NVIDIA H200, compute capability 9.0, driver 590.1"),
        ("tensorrt", "99.0"),
        ("precision", "bf16"),
        ("layout", Layout.FUSED),
    ],
)
def test_another_graph_gpu_release_precision_or_layout_is_a_reason(
    built: Path, key: PlansKey, field: str, value: str
) -> None:
    assert why_build(built, key) == ""
    changed = key.model_copy(update={field: value})
    assert why_build(built, changed).startswith(f"{field} changed from ")


def test_another_graph_has_another_key(checkpoint: Path, key: PlansKey) -> None:
    passport = checkpoint / "parts" / "trunk" / "passport.json"
    before = passport.read_text()
    try:
        passport.write_text(before.replace('"opset": 20', '"opset": 21'))
        changed = plans_key(read_exported_checkpoint(checkpoint), Layout.SHARED, TARGET)
    finally:
        passport.write_text(before)
    assert changed.passports != key.passports


def test_a_damaged_plan_is_built_again(built: Path, checkpoint: Path, key: PlansKey) -> None:
    plan = built / "tokenizer_imu" / "1" / PLAN_FILE
    plan.write_bytes(plan.read_bytes()[:-1])
    assert PLAN_FILE in why_build(built, key)
    assert PLAN_FILE in ensure_plans(checkpoint, built, Layout.SHARED, TARGET)
    assert why_build(built, key) == ""


def test_what_an_interrupted_build_left_is_not_trusted(tmp_path: Path, key: PlansKey) -> None:
    (tmp_path / KEY_FILE).write_text("{")
    assert why_build(tmp_path, key) == "it is not known what they were built from"
    (tmp_path / KEY_FILE).write_text(key.model_dump_json())
    assert why_build(tmp_path, key) == "the record of the repository is gone"


def test_building_needs_neither_torch_nor_the_network() -> None:
    code = (
        "import sys\n"
        "sys.modules['torch'] = None\n"
        "import export.repository.conversion, export.tensorrt.plan_cache\n"
        "sys.exit('omnivec2.network' in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
