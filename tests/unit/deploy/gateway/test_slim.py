from __future__ import annotations

from pathlib import Path

import pytest

from deploy.gateway import slim as module
from deploy.gateway.slim import is_loadable, slim, strip_symbols, unlinked_libraries

KEPT = (
    "imagecodecs/_webp.abi3.so",
    "numpy/core.py",
    "numpy/core.so",
    "numpy/testing/utils.py",
    "onnxruntime/capi/onnxruntime_pybind11_state.so",
    "openvino/libs/libopenvino_intel_cpu_plugin.so",
    "openvino/libs/libopenvino_onnx_frontend.so.2641",
    "pyarrow/_fs.cpython-311-x86_64-linux-gnu.so",
    "pyarrow/libarrow.so.2600",
    "pyarrow/libarrow_python.so.2600",
    "rdkit/Chem/rdchem.so",
)
REMOVED = (
    "imagecodecs/_avif.abi3.so",
    "numpy/tests/test_core.py",
    "numpy/__init__.pyi",
    "onnxruntime/capi/libonnxruntime.so.1.32.0",
    "onnxruntime/tools/ort_format_model/operators.py",
    "openvino/libs/cache.json",
    "openvino/libs/libopenvino_intel_gpu_plugin.so",
    "openvino/libs/libopenvino_intel_npu_plugin.so",
    "openvino/libs/libopenvino_tensorflow_lite_frontend.so.2641",
    "pyarrow/_gcsfs.cpython-311-x86_64-linux-gnu.so",
    "pyarrow/include/arrow/api.h",
    "pyarrow/libarrow_flight.so.2600",
    "pyarrow/libarrow_python.so.2600.1.0",
    "rdkit/Chem/Draw/rdMolDraw2D.so",
    "rdkit/Contrib/LEF/ClusterFps.py",
    "numpy/random/_common.pxd",
)
LOADABLE = """
  Type           Offset   VirtAddr           PhysAddr           FileSiz  MemSiz   Flg Align
  LOAD           0x000000 0x0000000000000000 0x0000000000000000 0x000010 0x000010 R   0x1000
  LOAD           0x001010 0x0000000000002010 0x0000000000002010 0x000010 0x000010 R E 0x1000
"""


def write(directory: Path, *names: str, content: bytes = b"") -> None:
    for name in names:
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def files(directory: Path) -> set[str]:
    return {p.relative_to(directory).as_posix() for p in directory.rglob("*") if p.is_file()}


def program(directory: Path, name: str, script: str) -> None:
    path = directory / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_what_no_code_here_uses_goes_and_all_else_stays(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    write(tmp_path, *KEPT, *REMOVED)
    slim(tmp_path)
    assert files(tmp_path) == set(KEPT)
    assert not (tmp_path / "numpy" / "tests").exists()


def test_libraries_that_nothing_is_linked_with_go_until_all_are_needed(tmp_path, monkeypatch):
    packages, programs = tmp_path / "packages", tmp_path / "programs"
    programs.mkdir()
    program(programs, "readelf", 'while read -r line; do echo "$line"; done < "$2"')
    program(programs, "strip", "exit 1")
    monkeypatch.setenv("PATH", str(programs))
    needs = {
        "a/extension.so": "libused.so.1",
        "a.libs/libused.so.1": "libc.so.6",
        "a.libs/libdrawing.so.1": "libfont.so.1",
        "a.libs/libfont.so.1": "libc.so.6",
    }
    for name, needed in needs.items():
        line = f"0x1 (NEEDED) Shared library: [{needed}]\n"
        write(packages, name, content=b"\x7fELF\n" + line.encode())
    assert [p.name for p in unlinked_libraries(packages)] == ["libdrawing.so.1"]
    slim(packages)
    assert files(packages) == {"a/extension.so", "a.libs/libused.so.1"}


@pytest.mark.parametrize(
    ("headers", "loadable"),
    [
        (LOADABLE, True),
        (LOADABLE.replace("0x001010 ", "0x001018 "), False),
        ("no program headers", False),
    ],
)
def test_segments_must_lie_where_the_loader_can_map_them(monkeypatch, headers, loadable):
    monkeypatch.setattr(module, "_output", lambda *_: headers)
    assert is_loadable(Path("library.so")) is loadable


@pytest.mark.parametrize("loadable", [True, False])
def test_a_library_is_replaced_by_its_stripped_form_if_that_can_be_loaded(
    tmp_path, monkeypatch, loadable
):
    program(tmp_path, "strip", 'printf short > "$3"')
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(module, "is_loadable", lambda _: loadable)
    write(tmp_path, "library.so", content=b"\x7fELF and symbols")
    strip_symbols([tmp_path / "library.so"])
    expected = b"short" if loadable else b"\x7fELF and symbols"
    assert (tmp_path / "library.so").read_bytes() == expected
    assert files(tmp_path) == {"strip", "library.so"}
