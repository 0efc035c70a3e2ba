"""GPUs that are not there, and an ONNX Runtime that computes on the CPU what it says a GPU does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from service.runtimes.embedded.nvidia.cuda_devices import CudaDevice, CudaDevices
from service.runtimes.embedded.nvidia.gpu_library import CPU, CUDA, TENSORRT, Provider

L4 = CudaDevice(0, "NVIDIA L4", (8, 9), 24 * 2**30)
T4 = CudaDevice(1, "Tesla T4", (7, 5), 16 * 2**30)


def visible(*devices: CudaDevice) -> CudaDevices:
    """What the driver lists."""
    return CudaDevices(devices, "13.0")


class PretendSession:
    """A session on the CPU that has got other providers."""

    def __init__(self, session: ort.InferenceSession, providers: list[str]) -> None:
        self._session = session
        self._providers = providers

    def get_providers(self) -> list[str]:
        return self._providers

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


class PretendLibrary:
    """An ONNX Runtime for GPUs.

    Args:
        works: The providers that can be started; others are dropped from sessions, silently.
        raises: An error of one provider, instead of being dropped: (provider, text).
    """

    version = "1.31.1, CUDA 13.0"
    tensorrt_version = "101400"

    def __init__(
        self,
        works: Sequence[str] = (TENSORRT, CUDA, CPU),
        *,
        built_in: Sequence[str] = (TENSORRT, CUDA, CPU),
        fault: str = "",
        missing: str = "",
        raises: tuple[str, str] = ("", ""),
    ) -> None:
        self.works = list(works)
        self.built_in = built_in
        self.installation_fault = fault
        self.raises = raises
        self._missing = missing
        self.sessions: list[tuple[Path, dict[str, dict[str, str]]]] = []

    def missing_library(self, provider: str) -> str:
        return self._missing

    def make_session(
        self, graph: Path | bytes, settings: ort.SessionOptions, providers: Sequence[Provider]
    ) -> Any:
        names = [name for name, _ in providers]
        provider, text = self.raises
        if provider in names:
            raise ort_errors.EPFail(text)
        if isinstance(graph, Path) and names != [CPU]:
            self.sessions.append((graph, {name: dict(options) for name, options in providers}))
        session = ort.InferenceSession(graph, settings, providers=[CPU])
        return PretendSession(session, [name for name in names if name in self.works])
