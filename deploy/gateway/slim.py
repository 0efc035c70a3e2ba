"""Remove the files of an environment that are not needed at run time: tests, headers, stubs.

Run when an image is built. Prints the environment's size before and after.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator
from pathlib import Path

_DIRECTORIES = frozenset({"tests", "include", "__pycache__"})
_SUFFIXES = frozenset({".a", ".c", ".cmake", ".cpp", ".cc", ".h", ".hpp", ".pxd", ".pyi", ".pyx"})
_UNUSED = (
    # Arrow's network clients; here it reads Parquet from memory.
    "pyarrow/*_flight*.so*",
    "pyarrow/libarrow_s3.so*",
    "pyarrow/_s3fs*.so",
    # OpenVINO's other devices, and its readers of other formats than ONNX.
    "openvino/libs/libopenvino_intel_[gn]pu_plugin.so",
    "openvino/libs/cache.json",  # kernels of the GPU, tuned
    "openvino/libs/libopenvino_tensorflow*",
    "openvino/libs/libopenvino_pytorch_frontend.so*",
    "openvino/libs/libopenvino_paddle_frontend.so*",
    "openvino/libs/libopenvino_jax_frontend.so*",
    "openvino/libs/libopenvino_gguf_frontend.so*",
)
"""Libraries that the service does not load, and that no other library needs."""


def main() -> None:
    """Reduce the environment that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("environment", type=Path, help="a virtual environment; altered")
    environment: Path = parser.parse_args().environment
    before = size(environment)
    for packages in environment.glob("lib/python3.*/site-packages"):
        slim(packages)
    print(f"{environment}: {before / 2**20:.0f} MiB before, {size(environment) / 2**20:.0f} after")


def slim(packages: Path) -> None:
    """Remove tests, headers, sources, stubs and unused libraries below ``site-packages``."""
    for path in list(unneeded(packages)):
        path.unlink()
    for directory in sorted(packages.rglob("*"), reverse=True):
        if directory.is_dir() and not any(directory.iterdir()):
            shutil.rmtree(directory)


def unneeded(packages: Path) -> Iterator[Path]:
    """Yield the files that ``slim`` removes."""
    for path in packages.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            continue
        below = path.relative_to(packages)
        unused = any(below.match(pattern) for pattern in _UNUSED)
        if unused or _DIRECTORIES & set(below.parts[:-1]) or path.suffix in _SUFFIXES:
            yield path


def size(directory: Path) -> int:
    """Return the bytes of all files below a directory."""
    return sum(path.lstat().st_size for path in directory.rglob("*") if not path.is_dir())


if __name__ == "__main__":
    main()
