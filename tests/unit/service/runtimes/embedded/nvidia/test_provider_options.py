from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from omnivec2.engines.shape_ranges import ShapeRange
from service.runtimes.embedded.nvidia.gpu_library import CPU, CUDA, TENSORRT
from service.runtimes.embedded.nvidia.provider_options import (
    Versions,
    cache_directory,
    graph_providers,
    input_ranges,
    without_ranges,
)
from service.runtimes.embedded.repository_reader import StoredGraph
from tests.support.service_parts.pretend_gpus import L4, T4

TRUNK = StoredGraph(
    "trunk", "1", Path("trunk/1"), ("tokens", "mask"), ("features",), 32, "d1", {"length": (2, 200)}
)
AXES = {"tokens": ("batch", "length", 384), "mask": ("batch", "length")}
RANGES = {
    "tokens": ShapeRange((1, 2, 384), (6, 20, 384), (32, 200, 384)),
    "mask": ShapeRange((1, 2), (6, 20), (32, 200)),
}
VERSIONS = Versions("1.31.1", "101400", "13.0")


def test_shapes_reach_from_one_short_row_to_the_largest_batch_of_the_longest() -> None:
    assert input_ranges(TRUNK, AXES) == RANGES


def test_an_axis_without_limits_leaves_the_shapes_to_tensorrt(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert input_ranges(replace(TRUNK, limits={}), AXES) == {}
    assert "trunk is compiled as requests come: tokens: axis 1 is dynamic" in caplog.text


def test_cuda_multiplies_in_full_float32_on_the_chosen_gpu() -> None:
    (cuda, options), cpu = graph_providers((CUDA, CPU), T4, "fp32", {}, None)
    assert (cuda, cpu) == (CUDA, (CPU, {}))
    assert options["device_id"] == "1"
    assert options["use_tf32"] == "0"
    assert options["arena_extend_strategy"] == "kSameAsRequested"
    assert options["cudnn_conv_algo_search"] == "HEURISTIC"
    assert int(options["gpu_mem_limit"]) == 8 * 2**30
    (_, less), _ = graph_providers((CUDA, CPU), T4, "int8", {}, None)
    assert less["use_tf32"] == "1"


def test_tensorrt_gets_the_precision_the_shapes_and_the_cache(tmp_path: Path) -> None:
    order = (TENSORRT, CUDA, CPU)
    providers = graph_providers(order, L4, "int8", RANGES, tmp_path / "trunk-1")
    assert [name for name, _ in providers] == list(order)
    assert dict(providers)[TENSORRT] == {
        "device_id": "0",
        "trt_bf16_enable": "1",
        "trt_int8_enable": "1",
        "trt_layer_norm_fp32_fallback": "1",
        "trt_profile_min_shapes": "tokens:1x2x384,mask:1x2",
        "trt_profile_opt_shapes": "tokens:6x20x384,mask:6x20",
        "trt_profile_max_shapes": "tokens:32x200x384,mask:32x200",
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(tmp_path / "trunk-1"),
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(tmp_path),
    }
    plain = dict(without_ranges(providers))[TENSORRT]
    assert "trt_engine_cache_path" in plain
    assert not any("profile" in key for key in plain)


def test_a_gpu_without_bf16_computes_the_other_layers_of_int8_in_float32() -> None:
    options = dict(graph_providers((TENSORRT, CUDA, CPU), T4, "int8", {}, None))[TENSORRT]
    assert (options["trt_bf16_enable"], options["trt_int8_enable"]) == ("0", "1")
    assert "trt_engine_cache_enable" not in options
    assert "trt_profile_min_shapes" not in options


def test_compiled_engines_are_kept_apart_by_all_that_they_depend_on(tmp_path: Path) -> None:
    cases = [
        (TRUNK, "bf16", RANGES, L4, VERSIONS),
        (replace(TRUNK, digest="d2"), "bf16", RANGES, L4, VERSIONS),
        (TRUNK, "int8", RANGES, L4, VERSIONS),
        (TRUNK, "bf16", {"mask": RANGES["mask"]}, L4, VERSIONS),
        (TRUNK, "bf16", RANGES, T4, VERSIONS),
        (TRUNK, "bf16", RANGES, L4, replace(VERSIONS, library="1.32.0")),
        (TRUNK, "bf16", RANGES, L4, replace(VERSIONS, tensorrt="101500")),
        (TRUNK, "bf16", RANGES, L4, replace(VERSIONS, driver="13.1")),
    ]
    paths = [cache_directory(tmp_path, *case) for case in cases]
    assert len(set(paths)) == len(cases)
    assert all(path is not None and path.is_dir() for path in paths)
    assert cache_directory(tmp_path, *cases[0]) == paths[0]
    second_gpu = replace(L4, index=1)
    assert cache_directory(tmp_path, TRUNK, "bf16", RANGES, second_gpu, VERSIONS) == paths[0]


def test_nothing_is_kept_without_a_directory_or_a_digest(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert cache_directory(None, TRUNK, "bf16", {}, L4, VERSIONS) is None
    unknown = replace(TRUNK, digest="")
    assert cache_directory(tmp_path, unknown, "bf16", {}, L4, VERSIONS) is None
    (tmp_path / "file").write_bytes(b"")
    caplog.set_level("INFO")
    assert cache_directory(tmp_path / "file", TRUNK, "bf16", {}, L4, VERSIONS) is None
    assert "compiled engines are not kept" in caplog.text
