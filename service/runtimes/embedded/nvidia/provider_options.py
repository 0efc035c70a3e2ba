"""The options of ONNX Runtime's CUDA and TensorRT providers.

Reference: onnxruntime.ai/docs/execution-providers, CUDA and TensorRT.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from omnivec2.engines.shape_ranges import BATCH, ShapeRange, shape_range
from omnivec2.errors import ArtifactError
from omnivec2.passport import EnginePrecision
from service.runtimes.embedded.engines.base import Shape
from service.runtimes.embedded.nvidia.cuda_devices import CudaDevice
from service.runtimes.embedded.nvidia.gpu_library import CPU, CUDA, TENSORRT, Provider
from service.runtimes.embedded.repository_reader import StoredGraph

_LOG = logging.getLogger(__name__)

_MEMORY_SHARE = 0.5
"""The largest share of a GPU's memory for one graph: one of them that asks for more fails alone,
before the others cannot allocate any more."""

_CACHE_FOLDER = "tensorrt"


@dataclass(frozen=True)
class Versions:
    """The versions on which a compiled graph depends.

    Attributes:
        library: The version of ONNX Runtime.
        tensorrt: The version of TensorRT.
        driver: The version of the GPU's driver.
    """

    library: str
    tensorrt: str
    driver: str


def cuda_options(device: CudaDevice, precision: EnginePrecision) -> dict[str, str]:
    """Return the options of the CUDA provider."""
    return {
        "device_id": str(device.index),
        "gpu_mem_limit": str(int(device.memory_bytes * _MEMORY_SHARE)),
        # Doubling, the default, would leave half of the memory of dozens of graphs unused.
        "arena_extend_strategy": "kSameAsRequested",
        # An exhaustive search, the default, is made again for every new shape, during a request.
        "cudnn_conv_algo_search": "HEURISTIC",
        # TF32 has 10 bits of fraction: more than bf16, too few for float32.
        "use_tf32": "0" if precision == "fp32" else "1",
    }


def tensorrt_options(
    device: CudaDevice,
    precision: EnginePrecision,
    ranges: Mapping[str, ShapeRange],
    cache: Path | None,
) -> dict[str, str]:
    """Return the options of the TensorRT provider.

    Args:
        device: The GPU.
        precision: The precision, ``bf16`` or ``int8``. In int8 the layers of the graph that are
            not quantised are computed in bf16 where the GPU has it.
        ranges: The shapes of the graph's inputs. Without them TensorRT would compile again, during
            a request, for each shape that is larger than those before.
        cache: The directory of this graph's compiled engines, or None.
    """
    has_bf16 = device.compute_capability >= (8, 0)
    options = {
        "device_id": str(device.index),
        "trt_bf16_enable": _flag(has_bf16),
        "trt_int8_enable": _flag(precision == "int8"),
        # Means and variances in half precision would lose small differences of large values.
        "trt_layer_norm_fp32_fallback": "1",
    }
    if ranges:
        options |= {
            "trt_profile_min_shapes": _shapes({name: each.min for name, each in ranges.items()}),
            "trt_profile_opt_shapes": _shapes({name: each.opt for name, each in ranges.items()}),
            "trt_profile_max_shapes": _shapes({name: each.max for name, each in ranges.items()}),
        }
    if cache is not None:
        options |= {
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": str(cache),
            "trt_timing_cache_enable": "1",
            # Kernels are timed for a GPU, whatever graph they are of.
            "trt_timing_cache_path": str(cache.parent),
        }
    return options


def without_ranges(providers: Sequence[Provider]) -> list[Provider]:
    """Return the same providers, but TensorRT finds the shapes itself as requests come.

    A graph that TensorRT takes only in pieces needs the ranges of tensors inside it, which
    nobody knows.
    """
    return [
        (name, {key: value for key, value in options.items() if "_profile_" not in key})
        for name, options in providers
    ]


def graph_providers(
    order: Sequence[str],
    device: CudaDevice,
    precision: EnginePrecision,
    ranges: Mapping[str, ShapeRange],
    cache: Path | None,
) -> list[Provider]:
    """Return the providers of a graph with their options, in the order nodes are given to them."""
    options: dict[str, dict[str, str]] = {CPU: {}, CUDA: cuda_options(device, precision)}
    if TENSORRT in order:
        options[TENSORRT] = tensorrt_options(device, precision, ranges, cache)
    return [(name, options[name]) for name in order]


def input_ranges(stored: StoredGraph, inputs: Mapping[str, Shape]) -> dict[str, ShapeRange]:
    """Return the shapes that a graph is compiled for, or nothing if an axis has no limits.

    Args:
        stored: The graph's configuration, which has the limits of its axes.
        inputs: The axes of its inputs, by their names in the graph.
    """
    limits = {**stored.limits, BATCH: (1, stored.max_batch_size)}
    try:
        return {name: shape_range(name, axes, limits) for name, axes in inputs.items()}
    except ArtifactError as error:
        _LOG.warning("%s is compiled as requests come: %s", stored.name, error)
        return {}


def cache_directory(
    root: Path | None,
    stored: StoredGraph,
    precision: EnginePrecision,
    ranges: Mapping[str, ShapeRange],
    device: CudaDevice,
    versions: Versions,
) -> Path | None:
    """Return the directory of a graph's compiled engines, made if need be.

    ONNX Runtime itself looks only at the shapes, and would run the engine of another graph or
    another GPU: everything that a compiled engine depends on is in the directory's name.

    Args:
        root: The directory of all caches; None keeps nothing.
        stored: The graph, with the digest of its files.
        precision: The precision it is compiled for.
        ranges: The shapes it is compiled for.
        device: The GPU it is compiled on and for.
        versions: The versions of all that compiles it.

    Returns:
        The directory, or None if nothing can be kept.
    """
    if root is None or not stored.digest:
        return None
    machine = _digest(device.name, device.compute_capability, versions)
    graph = _digest(stored.digest, precision, sorted(ranges.items()))
    path = root / _CACHE_FOLDER / machine / f"{stored.name}-{graph}"
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _LOG.info("compiled engines are not kept: %s: %s", path, error.strerror)
        return None
    return path


def _digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _shapes(shapes: Mapping[str, Sequence[int]]) -> str:
    """Return shapes as the provider reads them: ``tokens:1x2x384,mask:1x2``."""
    return ",".join(f"{name}:{'x'.join(map(str, shape))}" for name, shape in shapes.items())


def _flag(value: bool) -> str:
    return "1" if value else "0"
