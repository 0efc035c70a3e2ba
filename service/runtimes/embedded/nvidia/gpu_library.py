"""The installed ONNX Runtime as the GPU engine needs it: what it was built with, and sessions.

All that touches the library is here, so that tests can replace it.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
import importlib.util
import io
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import onnxruntime as ort

TENSORRT, CUDA, CPU = "TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"

Provider = tuple[str, Mapping[str, str]]
"""The name of an execution provider and its options."""

_LOG = logging.getLogger(__name__)

_CPU_PACKAGE, _GPU_PACKAGE = "onnxruntime", "onnxruntime-gpu"
_LIBRARIES = {
    TENSORRT: "libonnxruntime_providers_tensorrt.so",
    CUDA: "libonnxruntime_providers_cuda.so",
}
_TENSORRT_PACKAGE = "tensorrt_libs"
_TENSORRT_LIBRARIES = ("libnvinfer.so.10", "libnvonnxparser.so.10")
"""Those that the TensorRT provider of ONNX Runtime 1.23 to 1.31 is linked with."""


class GpuLibrary(Protocol):
    """ONNX Runtime, as the GPU engine sees it."""

    @property
    def version(self) -> str:
        """The version and what it was built for: ``1.31.1, CUDA 13.0``."""

    @property
    def tensorrt_version(self) -> str:
        """The version of TensorRT that is loaded; empty if none is."""

    @property
    def built_in(self) -> Sequence[str]:
        """The execution providers it was built with."""

    @property
    def installation_fault(self) -> str:
        """What is wrong with the installation of the package; empty if nothing is."""

    def missing_library(self, provider: str) -> str:
        """Return the shared library without which a provider cannot be loaded, or nothing."""

    def make_session(
        self, graph: Path | bytes, settings: ort.SessionOptions, providers: Sequence[Provider]
    ) -> ort.InferenceSession:
        """Make a session that raises where a provider fails, instead of using others.

        Raises:
            ENGINE_ERRORS: ONNX Runtime cannot load the graph.
        """


class InstalledLibrary:
    """The ONNX Runtime of this environment.

    The CUDA, cuDNN and TensorRT libraries of NVIDIA's Python packages are loaded, which the
    system's loader would not find by itself.
    """

    def __init__(self) -> None:
        output = io.StringIO()
        # It prints what it cannot find; an answer on standard output must not be mixed with it.
        with contextlib.redirect_stdout(output):
            ort.preload_dlls(msvc=False)
        if text := output.getvalue().strip():
            _LOG.debug("ONNX Runtime: %s", text)
        self._tensorrt = _load_tensorrt()

    @property
    def version(self) -> str:
        """The version and the CUDA it was built for."""
        cuda = str(getattr(ort, "cuda_version", "") or "none")
        return f"{ort.__version__}, CUDA {cuda}"

    @property
    def tensorrt_version(self) -> str:
        """The version of the TensorRT that is loaded, as its library reports it."""
        return str(self._tensorrt.getInferLibVersion()) if self._tensorrt else ""

    @property
    def built_in(self) -> Sequence[str]:
        """The execution providers it was built with, whether or not they can be loaded."""
        return tuple(ort.get_available_providers())

    @property
    def installation_fault(self) -> str:
        """What is wrong with the installation; empty if nothing is."""
        return installation_fault(CUDA in self.built_in, _installed_packages())

    def missing_library(self, provider: str) -> str:
        """Return the shared library that the loader misses; ONNX Runtime only logs its name."""
        return missing_library(Path(ort.__file__).parent / "capi" / _LIBRARIES[provider])

    def make_session(
        self, graph: Path | bytes, settings: ort.SessionOptions, providers: Sequence[Provider]
    ) -> ort.InferenceSession:
        """Make a session; see ``GpuLibrary.make_session``."""
        # With its fallback, ONNX Runtime would print to standard output and try again with fewer
        # providers, which also lose their options.
        pairs = [(name, dict(options)) for name, options in providers]
        return ort.InferenceSession(graph, settings, providers=pairs, enable_fallback=0)


def installation_fault(has_cuda: bool, packages: Mapping[str, str]) -> str:
    """Return why the module ``onnxruntime`` has no CUDA provider, and what to install.

    Args:
        has_cuda: Whether it has the provider.
        packages: The installed packages that bring such a module: name -> version.
    """
    if has_cuda:
        return ""
    if _GPU_PACKAGE not in packages:
        return f"{_GPU_PACKAGE} is not installed: see docs/gpu.md"
    return (
        f"{_CPU_PACKAGE} and {_GPU_PACKAGE} share one module, and the one without CUDA was "
        f"installed last: remove both, then install {_GPU_PACKAGE} alone (docs/gpu.md)"
    )


def missing_library(library: Path) -> str:
    """Return the dependency that keeps a shared library from being loaded, or nothing.

    Args:
        library: The shared library, which is loaded if nothing is missing.
    """
    try:
        ctypes.CDLL(str(library))
    except OSError as error:
        name, _, rest = str(error).partition(": ")
        return name if "cannot open shared object file" in rest else ""
    return ""


def _installed_packages() -> dict[str, str]:
    found = {}
    for name in (_CPU_PACKAGE, _GPU_PACKAGE):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _load_tensorrt() -> Any:
    """Load TensorRT's libraries and return the first of them, or None where there are none."""
    spec = importlib.util.find_spec(_TENSORRT_PACKAGE)
    roots = [Path(root) for root in spec.submodule_search_locations or ()] if spec else []
    first: Any = None
    for name in _TENSORRT_LIBRARIES:
        installed = [str(root / name) for root in roots if (root / name).exists()]
        with contextlib.suppress(OSError):
            library = ctypes.CDLL((installed or [name])[0], mode=ctypes.RTLD_GLOBAL)
            first = first or library
    return first
