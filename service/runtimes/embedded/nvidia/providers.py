"""The execution providers that compute a precision, and the reasons why others do not.

::

    fp32            CUDA ► CPU
    bf16, int8      TensorRT ► CUDA ► CPU

A node runs on the first of them that has a kernel for it. TensorRT does not compute float32 here:
it multiplies in TF32, whose error is beyond the parity that graphs are exported with, and its
provider has no option against that. CUDA cannot compute a graph of float32 in bf16.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnxruntime as ort

from omnivec2.engine_errors import ENGINE_ERRORS
from omnivec2.errors import ArtifactError
from omnivec2.passport import EnginePrecision
from service.runtimes.embedded.nvidia.cuda_devices import CudaDevice, CudaDevices
from service.runtimes.embedded.nvidia.gpu_library import CPU, CUDA, TENSORRT, GpuLibrary

_LOG = logging.getLogger(__name__)

_ORDER: Mapping[EnginePrecision, tuple[str, ...]] = {
    "fp32": (CUDA, CPU),
    "bf16": (TENSORRT, CUDA, CPU),
    "int8": (TENSORRT, CUDA, CPU),
}
_LEAST_CAPABILITY: Mapping[EnginePrecision, tuple[int, int]] = {
    "fp32": (0, 0),
    "bf16": (8, 0),  # Ampere; older ones have fp16, which is another precision
    "int8": (7, 2),  # the first whose tensor cores multiply integers
}

_PROBE = bytes.fromhex(
    "080812003a3b0a100a017812017922084964656e74697479120570726f6265"
    "5a0f0a0178120a0a08080112040a020801620f0a0179120a0a08080112040a02080142040a001011"
)
"""An ONNX graph of one Identity over one float."""

_START_ERRORS: tuple[type[Exception], ...] = (*ENGINE_ERRORS, RuntimeError, ValueError)


@dataclass(frozen=True)
class UsableProviders:
    """The execution providers that work on this machine.

    Attributes:
        names: The providers that work.
        unusable: The reasons why others do not: name -> reason.
    """

    names: frozenset[str]
    unusable: Mapping[str, str]

    def order(self, precision: EnginePrecision) -> tuple[str, ...]:
        """Return the providers that compute a precision, in the order nodes are given to them."""
        return tuple(name for name in _ORDER[precision] if name in self.names)

    def precisions(self, devices: Sequence[CudaDevice]) -> tuple[EnginePrecision, ...]:
        """Return the precisions that every one of some GPUs computes in, the most exact first."""
        return tuple(
            precision
            for precision, order in _ORDER.items()
            if order[0] in self.names
            and all(d.compute_capability >= _LEAST_CAPABILITY[precision] for d in devices)
        )


def find_providers(library: GpuLibrary, found: CudaDevices) -> UsableProviders:
    """Try the providers of the installed library on a GPU.

    ONNX Runtime leaves out a provider that it cannot load, logs it, and computes on the CPU.
    So each provider is tried with a graph of one node, and what a session has got is compared
    with what it was to have.

    Args:
        library: The installed ONNX Runtime.
        found: The visible GPUs, of which there is at least one.

    Raises:
        ArtifactError: Nothing can be computed on a GPU here; the message says why, and what to
            install.
    """
    if fault := library.installation_fault:
        raise ArtifactError(f"ONNX Runtime cannot use {found.devices[0].label}: {fault}")
    unusable = {}
    for name in (TENSORRT, CUDA):
        if reason := _why_unusable(library, name):
            unusable[name] = reason
            _LOG.info("%s is not used: %s", name, reason)
    if CUDA in unusable:
        raise ArtifactError(
            f"ONNX Runtime ({library.version}) cannot use {found.devices[0].label} with driver "
            f"{found.driver}: {unusable[CUDA]}; `pip install 'onnxruntime-gpu[cuda,cudnn]'` brings "
            "the libraries of the same CUDA, for which the driver must be new enough"
        )
    return UsableProviders(frozenset({TENSORRT, CUDA, CPU} - unusable.keys()), unusable)


def check_providers(session: ort.InferenceSession, wanted: Sequence[str], name: str) -> None:
    """Check that a session has the providers it was to have: ONNX Runtime drops some silently.

    Args:
        session: A new session.
        wanted: The providers it was made with.
        name: The graph's name, for the error.

    Raises:
        ArtifactError: It would compute elsewhere, or in another precision.
    """
    got = session.get_providers()
    if missing := [provider for provider in wanted if provider not in got]:
        raise ArtifactError(
            f"{name}: ONNX Runtime would compute it on {', '.join(got)} only: "
            f"{', '.join(missing)} could not be started, its log says why"
        )


def _why_unusable(library: GpuLibrary, name: str) -> str:
    """Return the reason why a provider cannot be used; empty if it can."""
    if name not in library.built_in:
        return f"ONNX Runtime ({library.version}) was built without it"
    settings = ort.SessionOptions()
    try:
        providers = library.make_session(_PROBE, settings, [(name, {}), (CPU, {})]).get_providers()
    except _START_ERRORS as error:
        missing = library.missing_library(name)
        return f"{missing} is missing" if missing else str(error)
    if name in providers:
        return ""
    missing = library.missing_library(name)
    return f"{missing} is missing" if missing else "it could not be started"
