"""TensorRT plans from self-contained graphs.

Networks are strongly typed, the only kind TensorRT 11 has: a value's type is the graph's.
``trt`` is always a module with TensorRT's Python API: ``tensorrt`` on the machine whose GPU
will run the plan, or TensorRT for RTX, which builds on a machine without a GPU, so that
tests put every graph through NVIDIA's own parser and builder.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import onnx_ir as ir

from export.graphs.inline_weights import load_inlined
from export.precision.half_precision import convert_model
from export.tensorrt.gpu_inspection import gpu_fingerprint, plan_precisions
from export.tensorrt.optimization_profiles import Profile
from export.tensorrt.plan_inputs import widen_integers
from omnivec2.atomic_files import write_file
from omnivec2.errors import ExportError
from omnivec2.passport import Precision

_DTYPES: dict[Precision, str] = {"fp32": "FLOAT", "fp16": "HALF", "bf16": "BF16"}
_MATRIX_LAYERS = frozenset({"MATRIX_MULTIPLY", "EINSUM"})
"""Convolutions are not among them: stems stay float32 (see ``export.precision.half_precision``)."""


@dataclass(frozen=True)
class Plan:
    """A plan on disk.

    Attributes:
        path: The ``model.plan``.
        bytes: The size of the file, weights included.
        layer_precisions: A map from dtypes to the number of layers whose result has it; of the
            built plan if a GPU could inspect it, else of the parsed network.
        gpu: The fingerprint of the GPU it was built on; empty without a GPU.
        tensorrt_version: The version that built it, the only one that surely loads it.
    """

    path: Path
    bytes: int
    layer_precisions: dict[str, int]
    gpu: str
    tensorrt_version: str


def load_tensorrt() -> tuple[ModuleType, str]:
    """Import TensorRT and read the fingerprint of the GPU it builds for.

    Raises:
        ExportError: TensorRT is not installed, or there is no GPU.
    """
    try:
        import tensorrt
    except (ImportError, RuntimeError) as error:  # without libraries its package raises either
        raise ExportError(
            "a plan is built with TensorRT, which is not installed here; run the export inside "
            f"NVIDIA's TensorRT image of the Triton release that will load it ({error})"
        ) from error
    module: ModuleType = tensorrt
    return module, gpu_fingerprint()


def write_plan(
    graph: Path,
    weights: Path,
    path: Path,
    profile: Profile,
    precision: Precision,
    *,
    trt: ModuleType,
    gpu: str = "",
    version_compatible: bool = False,
    timing_cache: Path | None = None,
) -> Plan:
    """Build one exported graph into a plan.

    Args:
        graph: An exported ``model.onnx``, of a head or of a part.
        weights: The weights file it refers to.
        path: The ``model.plan`` to write.
        profile: The sizes of its inputs.
        precision: The precision it computes in; inputs and outputs keep their types.
        trt: The module from ``load_tensorrt``.
        gpu: The fingerprint from ``load_tensorrt``; empty if there is no GPU.
        version_compatible: Whether later TensorRT releases can load it, at some cost of speed;
            Triton then needs ``--backend-config=tensorrt,version-compatible=true``.
        timing_cache: The file with earlier measurements of kernels, read and written.

    Raises:
        ExportError: TensorRT lacks a node (named), the build fails, or the network does not
            compute in ``precision``.
    """
    model = load_inlined(graph, weights)
    convert_model(model, precision)
    widen_integers(model)
    prepared = path.with_suffix(".inlined.onnx")
    try:
        ir.save(model, prepared)
        plan, precisions = build_plan(
            prepared,
            profile,
            precision,
            trt=trt,
            version_compatible=version_compatible,
            timing_cache=timing_cache,
        )
    finally:
        prepared.unlink(missing_ok=True)
    write_file(path, plan)
    if gpu:
        precisions = plan_precisions(plan, trt)
    return Plan(path, len(plan), dict(sorted(precisions.items())), gpu, str(trt.__version__))


def build_plan(
    graph: Path,
    profile: Profile,
    precision: Precision,
    *,
    trt: ModuleType,
    version_compatible: bool = False,
    timing_cache: Path | None = None,
) -> tuple[bytes, Counter[str]]:
    """Build a self-contained graph.

    Returns:
        The plan, and a map from dtypes to the number of the parsed network's layers with it.

    Raises:
        ExportError: TensorRT lacks a node (named), the build fails, or the network does not
            compute in ``precision``.
    """
    logger = _log(trt)
    builder = trt.Builder(logger)
    network, _parser = parse(graph, builder, logger, trt=trt)
    precisions = require_precision(network, precision)
    config = builder.create_builder_config()
    # TF32 has fp16's ten bits of fraction; parity was measured in real fp32.
    config.clear_flag(trt.BuilderFlag.TF32)
    # Without this the engine inspector does not name the layers' dtypes.
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    if version_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    config.add_optimization_profile(_optimization_profile(builder, network, profile))
    cache = use_timing_cache(config, timing_cache)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise ExportError(f"{graph}: TensorRT built no plan: {logger.summary()}")
    if timing_cache is not None and cache is not None:
        timing_cache.parent.mkdir(parents=True, exist_ok=True)
        write_file(timing_cache, bytes(cache.serialize()))
    return bytes(plan), precisions


def parse(graph: Path, builder: Any, logger: Any, *, trt: ModuleType) -> tuple[Any, Any]:
    """Parse a graph into a strongly typed network.

    Returns:
        The network, and the parser, which must live as long: it owns the weights.

    Raises:
        ExportError: The parser refuses nodes; the message names each, its operator, and why.
    """
    flags = trt.NetworkDefinitionCreationFlag
    # TensorRT 11 has no other networks, and may have dropped the flag.
    strongly = getattr(flags, "STRONGLY_TYPED", None)
    network = builder.create_network(0 if strongly is None else 1 << int(strongly))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(graph)):
        errors = [parser.get_error(index) for index in range(parser.num_errors)]
        reasons = "; ".join(map(_reason, errors))
        raise ExportError(f"TensorRT cannot parse {graph.name}: {reasons or logger.summary()}")
    return network, parser


def _reason(error: Any) -> str:
    """Return the node that a parser refuses and why, without notes on a missing CUDA driver."""
    lines = [line for line in error.desc().splitlines() if not line.startswith("[")]
    where = f"node {error.node_name() or '?'} ({error.node_operator() or '?'})"
    said = " ".join(" ".join(lines or [error.desc()]).split())
    return f"{where}: {error.code().name}: {said}"


def network_precisions(network: Any) -> Counter[str]:
    """Count the layers of a network by the dtype of their first result."""
    return Counter(
        network.get_layer(index).get_output(0).dtype.name for index in range(network.num_layers)
    )


def require_precision(network: Any, precision: Precision) -> Counter[str]:
    """Check that every matrix product computes in a precision.

    Returns:
        The ``network_precisions`` of the network.

    Raises:
        ExportError: A layer computes in another type; the message names it.
    """
    wanted = _DTYPES[precision]
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        dtype = layer.get_output(0).dtype.name
        if layer.type.name in _MATRIX_LAYERS and dtype != wanted:
            raise ExportError(
                f"layer {layer.name} ({layer.type.name}) computes in {dtype}, "
                f"{precision} ({wanted}) was asked for"
            )
    return network_precisions(network)


def _optimization_profile(builder: Any, network: Any, profile: Profile) -> Any:
    """Return a profile in TensorRT's own form; inputs that the graph does not use are left out."""
    made = builder.create_optimization_profile()
    for index in range(network.num_inputs):
        name = network.get_input(index).name
        if name not in profile:
            raise ExportError(f"the profile names {', '.join(profile)}, but not input {name}")
        sizes = profile[name]
        made.set_shape(name, sizes.min, sizes.opt, sizes.max)
    return made


def use_timing_cache(config: Any, path: Path | None) -> Any:
    """Set the timing cache of a builder's configuration to earlier measurements.

    Returns:
        The cache, to be serialized after the build; None if there is no file to keep.

    Raises:
        ExportError: The file is of another GPU or version of TensorRT.
    """
    if path is None:
        return None
    earlier = path.read_bytes() if path.exists() else b""
    cache = config.create_timing_cache(earlier)
    if cache is None or not config.set_timing_cache(cache, ignore_mismatch=False):
        raise ExportError(f"{path}: not a timing cache of this GPU and TensorRT; remove it")
    return cache


def _log(trt: ModuleType) -> Any:
    """Return a log that keeps TensorRT's errors, for the message of a failed build."""
    severities = (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR)

    class Log(trt.ILogger):  # type: ignore[name-defined, misc]  # its base is known at run time
        def __init__(self) -> None:
            super().__init__()
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in severities:
                self.errors.append(message)

        def summary(self) -> str:
            return "; ".join(self.errors) or "it gave no reason"

    return Log()
