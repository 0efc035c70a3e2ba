"""Remove the files of an environment that are not needed at run time, and strip the rest.

Tests, headers and stubs; parts of packages that nothing here imports; libraries that no extension
module is linked with any more; and symbols for debuggers. Run when an image is built; binutils
(which come with a compiler) are needed for the last two. Prints the size before and after::

    python slim.py /opt/omnivec2
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path

_DIRECTORIES = frozenset({"tests", "include", "__pycache__"})
_SUFFIXES = frozenset({".a", ".c", ".cmake", ".cpp", ".cc", ".h", ".hpp", ".pxd", ".pyi", ".pyx"})

_UNUSED = (
    # ONNX Runtime once more, for programs in C; its tools for training and conversion.
    "onnxruntime/capi/libonnxruntime.so*",
    "onnxruntime/datasets/*",
    "onnxruntime/quantization/*",
    "onnxruntime/tools/*",
    "onnxruntime/transformers/*",
    # Arrow's network clients but S3's, encryption, and second names of its library.
    "pyarrow/*_flight*.so*",
    "pyarrow/_azurefs.*.so",
    "pyarrow/_gcsfs.*.so",
    "pyarrow/_hdfs.*.so",
    "pyarrow/*_encryption*.so*",
    "pyarrow/_pyarrow_cpp_tests.*.so",
    "pyarrow/libarrow_python.so",
    "pyarrow/libarrow_python.so.*.*.*",
    "pyarrow/src/*",
    "fastapi_offline/static/redoc*",
    "numpy/f2py/*",
    # OpenVINO's other devices, and its readers of other formats than ONNX.
    "openvino/libs/libopenvino_intel_[gn]pu_plugin.so",
    "openvino/libs/cache.json",  # kernels of the GPU, tuned
    "openvino/libs/libopenvino_tensorflow*",
    "openvino/libs/libopenvino_pytorch_frontend.so*",
    "openvino/libs/libopenvino_paddle_frontend.so*",
    "openvino/libs/libopenvino_jax_frontend.so*",
    "openvino/libs/libopenvino_gguf_frontend.so*",
    "pydicom/data/test_files/*",
    "rdkit/Contrib/*",
    "rdkit/Data/*",
    "rdkit/sping/*",
)
"""Patterns of files below ``site-packages``; ``*`` matches any characters, also slashes."""

_ONLY_EXTENSIONS = {
    # Molecules are read, not drawn, searched or transformed.
    "rdkit": (
        "rdBase", "cDataStructs", "rdGeometry", "rdCIPLabeler", "rdCoordGen", "rdMolInterchange",
        "rdchem", "rdinchi", "rdmolfiles", "rdmolops",
    ),
    # All compressions of TIFF and DICOM.
    "imagecodecs": (
        "_ccitt", "_deflate", "_htj2k", "_imcd", "_jpeg2k", "_jpeg8", "_jpegls", "_jpegsof3",
        "_jpegxl", "_jpegxr", "_lerc", "_ljpeg", "_lzma", "_png", "_shared", "_shared_cython",
        "_webp", "_zlib", "_zlibng", "_zstd",
    ),
}  # fmt: skip
"""Packages of many extension modules -> those that stay."""


def main() -> None:
    """Reduce the environment that the command line names."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("environment", type=Path, help="a virtual environment; altered")
    environment: Path = parser.parse_args().environment
    before = size(environment)
    for packages in environment.glob("lib/python3.*/site-packages"):
        slim(packages)
    print(f"{environment}: {before / 2**20:.0f} MiB before, {size(environment) / 2**20:.0f} after")


def slim(packages: Path) -> None:
    """Remove what is not needed below ``site-packages``; strip libraries if binutils are there."""
    for path in list(unneeded(packages)):
        path.unlink()
    if shutil.which("readelf") and shutil.which("strip"):
        while orphans := unlinked_libraries(packages):
            for path in orphans:
                path.unlink()
        strip_symbols(shared_objects(packages))
    for directory in sorted(packages.rglob("*"), reverse=True):
        if directory.is_dir() and not any(directory.iterdir()):
            shutil.rmtree(directory)


def unneeded(packages: Path) -> Iterator[Path]:
    """Yield the files that are removed whatever is linked with them."""
    for path in packages.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            continue
        below = path.relative_to(packages)
        unused = any(fnmatch(below.as_posix(), pattern) for pattern in _UNUSED)
        kept = _ONLY_EXTENSIONS.get(below.parts[0])
        if kept and path.suffix == ".so":
            unused = path.name.partition(".")[0] not in kept
        if unused or _DIRECTORIES & set(below.parts[:-1]) or path.suffix in _SUFFIXES:
            yield path


def unlinked_libraries(packages: Path) -> list[Path]:
    """Return the libraries in the ``*.libs`` directories of wheels that nothing is linked with."""
    needed = {
        name
        for path in shared_objects(packages)
        for name in re.findall(r"\(NEEDED\).*\[(.*)\]", _output("readelf", "-d", str(path)))
    }
    bundled = (path for path in packages.glob("*.libs/*") if not path.is_dir())
    return [path for path in bundled if path.name not in needed]


def shared_objects(packages: Path) -> list[Path]:
    """Return the libraries and extension modules below a directory."""
    return [
        path
        for path in packages.rglob("*.so*")
        if path.is_file() and not path.is_symlink() and path.read_bytes()[:4] == b"\x7fELF"
    ]


def strip_symbols(paths: Sequence[Path]) -> None:
    """Remove the symbols that only debuggers and linkers read.

    A file that was made for wheels by rewriting its headers may not survive this: where the
    result could not be loaded, the file stays as it is.
    """
    for path in paths:
        stripped = path.with_name(f"{path.name}.stripped")
        done = subprocess.run(
            ["strip", "--strip-unneeded", "-o", str(stripped), str(path)],
            capture_output=True, check=False,
        )  # fmt: skip
        if done.returncode == 0 and not done.stderr and is_loadable(stripped):
            stripped.chmod(path.stat().st_mode)
            stripped.replace(path)
        stripped.unlink(missing_ok=True)


def is_loadable(path: Path) -> bool:
    """Whether all segments of a library lie where the loader can map them."""
    segments = re.findall(
        r"^ +LOAD +(0x\w+) +(0x\w+) .* (0x\w+)$", _output("readelf", "-lW", str(path)), re.MULTILINE
    )
    numbers = [[int(word, 16) for word in segment] for segment in segments]
    return bool(numbers) and all(
        offset % align == address % align for offset, address, align in numbers
    )


def size(directory: Path) -> int:
    """Return the bytes of all files below a directory."""
    return sum(_size(path) for path in directory.rglob("*") if not path.is_dir())


def _size(path: Path) -> int:
    return path.lstat().st_size


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout


if __name__ == "__main__":
    main()
