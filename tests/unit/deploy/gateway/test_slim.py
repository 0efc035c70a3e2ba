from __future__ import annotations

from pathlib import Path

from deploy.gateway.slim import slim

KEPT = (
    "numpy/core.py",
    "numpy/core.so",
    "numpy/testing/utils.py",
    "openvino/libs/libopenvino_intel_cpu_plugin.so",
    "openvino/libs/libopenvino_onnx_frontend.so.2641",
    "pyarrow/libarrow.so.2600",
)
REMOVED = (
    "numpy/tests/test_core.py",
    "numpy/__init__.pyi",
    "openvino/libs/cache.json",
    "openvino/libs/libopenvino_intel_gpu_plugin.so",
    "openvino/libs/libopenvino_intel_npu_plugin.so",
    "openvino/libs/libopenvino_tensorflow_lite_frontend.so.2641",
    "pyarrow/include/arrow/api.h",
    "pyarrow/libarrow_flight.so.2600",
    "scipy/special/_cython.pxd",
)


def test_tests_headers_stubs_and_unused_libraries_go_and_all_else_stays(tmp_path: Path) -> None:
    for name in (*KEPT, *REMOVED):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    slim(tmp_path)
    left = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    assert left == set(KEPT)
    assert not (tmp_path / "numpy" / "tests").exists()
