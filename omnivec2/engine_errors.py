"""The exceptions of ONNX Runtime, the engine that runs exported graphs on a CPU."""

from __future__ import annotations

from onnxruntime.capi import onnxruntime_pybind11_state as ort_state

ENGINE_ERRORS: tuple[type[Exception], ...] = tuple(
    kind
    for kind in vars(ort_state).values()
    if isinstance(kind, type) and issubclass(kind, Exception)
)
"""The exceptions that ONNX Runtime raises for a graph that it cannot load or run: one unrelated
class per status code, without a common base."""
