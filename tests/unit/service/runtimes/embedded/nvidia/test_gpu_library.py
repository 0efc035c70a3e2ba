from __future__ import annotations

from pathlib import Path

import onnxruntime as ort
import pytest

from service.runtimes.embedded.nvidia.gpu_library import (
    CPU,
    InstalledLibrary,
    installation_fault,
    missing_library,
)
from service.runtimes.embedded.nvidia.providers import _PROBE


def test_a_module_without_cuda_is_explained_by_the_packages_that_brought_it() -> None:
    both = {"onnxruntime": "1.32.0", "onnxruntime-gpu": "1.31.1"}
    assert installation_fault(True, both) == ""
    only = installation_fault(False, {"onnxruntime": "1.32.0"})
    assert "onnxruntime-gpu is not installed" in only
    assert "share one module, and the one without CUDA was installed last" in installation_fault(
        False, both
    )


def test_a_library_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    absent = tmp_path / "libabsent.so"
    assert missing_library(absent) == str(absent)
    garbage = tmp_path / "libgarbage.so"
    garbage.write_bytes(b"no library")
    assert missing_library(garbage) == ""
    assert missing_library(Path("libc.so.6")) == ""


def test_the_installed_library_reports_itself_and_prints_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    library = InstalledLibrary()
    assert library.version.startswith(f"{ort.__version__}, CUDA ")
    assert CPU in library.built_in
    has_cuda = "CUDAExecutionProvider" in library.built_in
    assert bool(library.installation_fault) != has_cuda
    session = library.make_session(_PROBE, ort.SessionOptions(), [(CPU, {})])
    assert session.get_providers() == [CPU]
    assert capsys.readouterr().out == ""
