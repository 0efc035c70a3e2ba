"""The engine and precision that a model repository is built for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from export.precision.half_precision import require_runnable
from export.tensorrt.plan_builder import load_tensorrt
from export.tensorrt.plan_inputs import plan_spec, plan_tensor
from omnivec2.parts import PartSpec
from omnivec2.passport import Engine, Precision
from omnivec2.spec import HeadSpec


@dataclass(frozen=True)
class BuildTarget:
    """The engine and precision to build for.

    Attributes:
        engine: The engine, ONNX Runtime or TensorRT.
        precision: The precision that the graphs compute in.
        trt: The TensorRT module; None for ONNX Runtime.
        gpu: The fingerprint of the GPU that plans are built on; empty without a GPU.
        version_compatible: Whether later TensorRT releases can load the plans too.
        timing_cache: The file of kernels' timings, for TensorRT.
    """

    engine: Engine
    precision: Precision
    trt: ModuleType | None = None
    gpu: str = ""
    version_compatible: bool = False
    timing_cache: Path | None = None


def make_target(
    engine: Engine,
    precision: Precision,
    *,
    version_compatible: bool = False,
    timing_cache: Path | None = None,
) -> BuildTarget:
    """Return a target, sure that this machine can build for it.

    Raises:
        ExportError: The engine cannot run the precision; TensorRT or a GPU is missing.
    """
    require_runnable(engine, precision)
    if engine == "onnx":
        return BuildTarget(engine, precision)
    trt, gpu = load_tensorrt()
    return BuildTarget(engine, precision, trt, gpu, version_compatible, timing_cache)


def served_head(head: HeadSpec, target: BuildTarget) -> HeadSpec:
    """Return the spec of a head as the target's engine takes its inputs."""
    return plan_spec(head) if target.engine == "tensorrt" else head


def served_part(part: PartSpec, target: BuildTarget) -> PartSpec:
    """Return the spec of a part as the target's engine takes its inputs."""
    if target.engine == "onnx":
        return part
    return part.model_copy(update={"inputs": tuple(plan_tensor(t) for t in part.inputs)})
