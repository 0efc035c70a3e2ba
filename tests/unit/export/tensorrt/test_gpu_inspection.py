from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from export.tensorrt.gpu_inspection import gpu_fingerprint, layer_precisions
from export.tensorrt.plan_builder import load_tensorrt
from omnivec2.errors import ExportError


def put_on_path(directory: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An ``nvidia-smi`` that answers what the script prints."""
    program = directory / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:/bin")


def test_the_fingerprint_names_gpu_capability_and_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = r"'NVIDIA L4, 8.9, 580.95.05\nNVIDIA T4, 7.5, 580.95.05\n'"
    put_on_path(tmp_path, f"printf {lines}", monkeypatch)
    assert gpu_fingerprint() == "NVIDIA L4, compute capability 8.9, driver 580.95.05"


@pytest.mark.parametrize("script", ["exit 9", "echo 'No devices were found'", "true"])
def test_a_machine_whose_driver_names_no_gpu_is_refused(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_on_path(tmp_path, script, monkeypatch)
    with pytest.raises(ExportError, match="nvidia-smi"):
        gpu_fingerprint()


def test_without_a_driver_the_error_says_where_plans_are_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ExportError, match="built on the GPU that will run it"):
        gpu_fingerprint()


def test_without_tensorrt_the_error_says_which_image_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(ExportError, match="not installed here; run the export inside NVIDIA's"):
        load_tensorrt()


def test_tensorrt_comes_with_the_gpu_it_builds_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("tensorrt")
    module.__dict__["__version__"] = "11.0.0"
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    put_on_path(tmp_path, "echo 'NVIDIA L4, 8.9, 580.95.05'", monkeypatch)
    found, gpu = load_tensorrt()
    assert found is module
    assert gpu.startswith("NVIDIA L4")


def test_layers_of_an_engine_are_counted_in_every_spelling_of_their_type() -> None:
    spellings = [
        "Half", "Row major linear FP16 format", "N/A due to dynamic shapes, BFloat16",
        "Float", "Row major linear FP32", "Int64",
    ]  # fmt: skip
    layers = [{"Name": s, "Outputs": [{"Format/Datatype": s}]} for s in spellings]
    layers.append({"Name": "host", "Outputs": []})
    assert layer_precisions(json.dumps({"Layers": layers})) == {
        "HALF": 2, "BF16": 1, "FLOAT": 2, "INT64": 1,
    }  # fmt: skip


@pytest.mark.parametrize("information", ['{"Layers": ["only a name"]}', "{}"])
def test_an_engine_that_hides_its_types_is_refused(information: str) -> None:
    with pytest.raises(ExportError, match="names no layer's dtype"):
        layer_precisions(information)
