"""TensorRT engines (plans) from self-contained graphs.

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
from export.tensorrt.gpu_inspection import engine_precisions, gpu_fingerprint
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
    """An engine on disk.

    Attributes:
        path: the ``model.plan``.
        bytes: its size, weights included.
        layer_precisions: dtype -> number of layers whose result has it; of the built engine
            if a GPU was there to look into it, else of the parsed network.
        gpu: what it was built on; empty without a GPU.
        tensorrt_version: of the library that built it, the only one that surely loads it.
    """

    path: Path
    bytes: int
    layer_precisions: dict[str, int]
    gpu: str
    tensorrt_version: str


def load_tensorrt() -> tuple[ModuleType, str]:
    """The installed TensorRT and the fingerprint of the GPU it builds for.

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
        graph: an exported ``model.onnx``, of a head or of a part.
        weights: the weights file it refers to.
        path: the ``model.plan`` to write.
        profile: the sizes of its inputs.
        precision: what it computes in; its boundary stays float32 and integers.
        trt: the module from ``load_tensorrt``.
        gpu: the fingerprint from ``load_tensorrt``; empty if there is no GPU.
        version_compatible: let later TensorRT releases load it, for some speed; Triton then
            wants ``--backend-config=tensorrt,version-compatible=true``.
        timing_cache: file with earlier measurements of kernels, read and written.

    Raises:
        ExportError: a node that TensorRT lacks (named), a failed build, or a network that
            does not compute in ``precision``.
    """
    model = load_inlined(graph, weights)
    convert_model(model, precision)
    widen_integers(model)
    prepared = path.with_suffix(".inlined.onnx")
    try:
        ir.save(model, prepared)
        plan, precisions = build_engine(
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
        precisions = engine_precisions(plan, trt)
    return Plan(path, len(plan), dict(sorted(precisions.items())), gpu, str(trt.__version__))


def build_engine(
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
        The engine, and dtype -> number of the parsed network's layers that give it.

    Raises:
        ExportError: see ``write_plan``.
    """
    logger = _log(trt)
    builder = trt.Builder(logger)
    network, _parser = parse(graph, builder, logger, trt=trt)
    precisions = require_precision(network, precision)
    config = builder.create_builder_config()
    # TF32 has fp16's ten bits of fraction: fp32 means fp32, as parity was measured.
    config.clear_flag(trt.BuilderFlag.TF32)
    # Without this the engine inspector does not say what the layers compute in.
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    if version_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    config.add_optimization_profile(_optimization_profile(builder, network, profile))
    cache = use_timing_cache(config, timing_cache)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise ExportError(f"{graph}: TensorRT built no engine: {logger.summary()}")
    if timing_cache is not None and cache is not None:
        timing_cache.parent.mkdir(parents=True, exist_ok=True)
        write_file(timing_cache, bytes(cache.serialize()))
    return bytes(engine), precisions


def parse(graph: Path, builder: Any, logger: Any, *, trt: ModuleType) -> tuple[Any, Any]:
    """Parse a graph into a strongly typed network.

    Returns:
        The network, and the parser, which must live as long: it owns the weights.

    Raises:
        ExportError: names each node the parser refuses, its operator, and why.
    """
    flags = trt.NetworkDefinitionCreationFlag
    # TensorRT 11 has nothing else, and may have dropped the flag with the choice.
    strongly = getattr(flags, "STRONGLY_TYPED", None)
    network = builder.create_network(0 if strongly is None else 1 << int(strongly))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(graph)):
        errors = [parser.get_error(index) for index in range(parser.num_errors)]
        reasons = "; ".join(map(_reason, errors))
        raise ExportError(f"TensorRT cannot parse {graph.name}: {reasons or logger.summary()}")
    return network, parser


def _reason(error: Any) -> str:
    """Which node a parser refuses and why, less its notes on the missing CUDA driver."""
    lines = [line for line in error.desc().splitlines() if not line.startswith("[")]
    where = f"node {error.node_name() or '?'} ({error.node_operator() or '?'})"
    said = " ".join(" ".join(lines or [error.desc()]).split())
    return f"{where}: {error.code().name}: {said}"


def network_precisions(network: Any) -> Counter[str]:
    """Dtype -> number of layers of a network whose first result has it."""
    return Counter(
        network.get_layer(index).get_output(0).dtype.name for index in range(network.num_layers)
    )


def require_precision(network: Any, precision: Precision) -> Counter[str]:
    """Check that every matrix product computes in a precision.

    Returns:
        ``network_precisions`` of it.

    Raises:
        ExportError: names a layer that does not.
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
    """TensorRT's own form of a profile; of inputs that the graph does not use, nothing."""
    made = builder.create_optimization_profile()
    for index in range(network.num_inputs):
        name = network.get_input(index).name
        if name not in profile:
            raise ExportError(f"the profile names {', '.join(profile)}, but not input {name}")
        sizes = profile[name]
        made.set_shape(name, sizes.min, sizes.opt, sizes.max)
    return made


def use_timing_cache(config: Any, path: Path | None) -> Any:
    """Give the builder's configuration what was measured before.

    Returns:
        The cache, to be serialized after the build; None if there is no file to keep.

    Raises:
        ExportError: the file is of another GPU or version of TensorRT.
    """
    if path is None:
        return None
    earlier = path.read_bytes() if path.exists() else b""
    cache = config.create_timing_cache(earlier)
    if cache is None or not config.set_timing_cache(cache, ignore_mismatch=False):
        raise ExportError(f"{path}: not a timing cache of this GPU and TensorRT; remove it")
    return cache


def _log(trt: ModuleType) -> Any:
    """TensorRT's log, of which only errors are kept, for the message of a failed build."""
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
