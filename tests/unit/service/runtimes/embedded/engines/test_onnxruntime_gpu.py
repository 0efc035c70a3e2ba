"""Without a GPU its graphs run on the CPU, behind sessions that say they have other providers."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from export.repository.layouts import Layout
from omnivec2.errors import ArtifactError, ModelNotReadyError, RefusedTensorsError
from omnivec2.model_config import CONFIG_FILE, read_config
from service.runtimes.embedded.engines.base import Engine, LoadOptions
from service.runtimes.embedded.engines.find_engine import find_engine
from service.runtimes.embedded.engines.onnxruntime import OnnxRuntimeCpu
from service.runtimes.embedded.engines.onnxruntime_gpu import OnnxRuntimeGpu, OnnxRuntimeGpuGraph
from service.runtimes.embedded.nvidia.cuda_devices import CudaDevices, list_cuda_devices
from service.runtimes.embedded.nvidia.gpu_library import CPU, CUDA, TENSORRT
from service.runtimes.embedded.repository_reader import StoredGraph, read_model, read_repository
from tests.support.model_repositories.tiny_models import classification, write_repository
from tests.support.service_parts.pretend_gpus import L4, T4, PretendLibrary, visible

SENTIMENT = classification("text/sentiment", "no", "yes")


@pytest.fixture
def stored(tmp_path: Path) -> StoredGraph:
    root = write_repository(tmp_path, [SENTIMENT], Layout.FUSED)
    (graph,) = read_repository(root).models["text_sentiment"].graphs
    return graph


def engine(library: PretendLibrary, *devices: object) -> OnnxRuntimeGpu:
    made = OnnxRuntimeGpu(lambda: visible(*(devices or (L4,))), lambda: library)
    checked: Engine = made
    assert checked.name == "onnxruntime_gpu"
    return made


def ids(stored: StoredGraph) -> dict[str, np.ndarray]:
    return {name: np.arange(8, dtype=np.int32).reshape(2, 4) for name in stored.inputs}


def test_without_a_gpu_there_is_no_engine_and_the_library_is_not_opened() -> None:
    def open_library() -> PretendLibrary:
        raise AssertionError("not to be opened")

    with pytest.raises(ArtifactError, match="no NVIDIA GPU can be used: there is no driver"):
        OnnxRuntimeGpu(lambda: CudaDevices(reason="there is no driver"), open_library)


def test_it_reports_its_precisions_and_the_versions_it_was_built_of() -> None:
    assert engine(PretendLibrary()).precisions == ("fp32", "bf16", "int8")
    assert engine(PretendLibrary()).version == "1.31.1, CUDA 13.0, TensorRT 101400"
    assert engine(PretendLibrary([CUDA, CPU])).precisions == ("fp32",)


def test_its_answers_are_those_of_the_cpu(stored: StoredGraph) -> None:
    graph = engine(PretendLibrary()).load(stored, LoadOptions())
    other = OnnxRuntimeCpu().load(stored, LoadOptions())
    assert (graph.inputs, graph.outputs) == (other.inputs, other.outputs)
    assert graph.memory_bytes == other.memory_bytes
    transposed = {name: array.T.copy().T for name, array in ids(stored).items()}
    expected = other.run(ids(stored))["logits"]
    np.testing.assert_array_equal(graph.run(transposed)["logits"], expected)


def test_the_gpu_is_chosen_by_its_index_among_the_visible_ones(stored: StoredGraph) -> None:
    library = PretendLibrary()
    made = engine(library, L4, T4)
    made.load(stored, LoadOptions(device=1))
    ((_, providers),) = library.sessions
    assert providers[CUDA]["device_id"] == "1"
    with pytest.raises(ArtifactError, match=r"no GPU 2; there are GPU 0 \(NVIDIA L4.*GPU 1"):
        made.load(stored, LoadOptions(device=2))


def test_tensorrt_gets_the_shapes_of_the_heads_limits(stored: StoredGraph, tmp_path: Path) -> None:
    library = PretendLibrary()
    limits = {str(axis): (2, 128) for axes in _axes(stored).values() for axis in axes[1:]}
    cached = LoadOptions("bf16", cache_dir=tmp_path / "cache")
    engine(library).load(replace(stored, limits=limits), cached)
    ((_, providers),) = library.sessions
    assert list(providers) == [TENSORRT, CUDA, CPU]
    largest = f"{stored.max_batch_size}x128"
    assert f"input_ids:{largest}" in providers[TENSORRT]["trt_profile_max_shapes"]
    assert Path(providers[TENSORRT]["trt_engine_cache_path"]).is_relative_to(tmp_path / "cache")


def _axes(stored: StoredGraph) -> dict[str, tuple]:
    return dict(OnnxRuntimeCpu().load(stored, LoadOptions()).inputs)


def test_a_graph_with_an_int8_file_is_run_from_it_and_others_in_the_fastest_floats(
    stored: StoredGraph,
) -> None:
    library = PretendLibrary()
    made = engine(library)
    made.load(stored, LoadOptions("int8"))
    shutil.copyfile(stored.directory / "model.onnx", stored.directory / "model_int8.onnx")
    made.load(stored, LoadOptions("int8"))
    (plain, floats), (quantised, integers) = library.sessions
    assert (plain.name, quantised.name) == ("model.onnx", "model_int8.onnx")
    assert floats[TENSORRT]["trt_int8_enable"] == "0"
    assert integers[TENSORRT]["trt_int8_enable"] == "1"


def test_without_bf16_an_int8_load_of_a_float_graph_is_float32_on_cuda(stored: StoredGraph) -> None:
    library = PretendLibrary()
    engine(library, replace(T4, index=0)).load(stored, LoadOptions("int8"))
    ((_, providers),) = library.sessions
    assert list(providers) == [CUDA, CPU]


def test_a_graph_that_would_run_on_the_cpu_is_refused(stored: StoredGraph) -> None:
    library = PretendLibrary()
    made = engine(library)
    library.works = [CPU]
    with pytest.raises(ArtifactError, match=r"text_sentiment: .*CUDAExecutionProvider could not"):
        made.load(stored, LoadOptions())


def test_a_graph_that_tensorrt_takes_in_pieces_is_loaded_without_shapes(
    stored: StoredGraph, caplog: pytest.LogCaptureFixture
) -> None:
    class Pieces(PretendLibrary):
        def make_session(self, graph, settings, providers):
            if any("trt_profile_min_shapes" in options for _, options in providers):
                raise ort_errors.EPFail("input(s) has no associated shape profiles provided: x")
            return super().make_session(graph, settings, providers)

    library = Pieces()
    limits = {str(axis): (2, 128) for axes in _axes(stored).values() for axis in axes[1:]}
    engine(library).load(replace(stored, limits=limits), LoadOptions("bf16"))
    assert len(library.sessions) == 1
    assert "text_sentiment: TensorRT takes it in pieces" in caplog.text


def test_a_graph_that_cannot_be_loaded_is_named(stored: StoredGraph) -> None:
    library = PretendLibrary()
    made = engine(library)
    library.raises = (CUDA, "out of memory")
    with pytest.raises(ArtifactError, match=r"text_sentiment: ONNX Runtime cannot load it: .*out"):
        made.load(stored, LoadOptions())
    library.raises = ("", "")
    (stored.directory / "model.onnx").write_bytes(b"no graph")
    for precision in ("fp32", "bf16"):
        with pytest.raises(ArtifactError, match="text_sentiment: ONNX Runtime cannot load it"):
            made.load(stored, LoadOptions(precision))


class FailingBinding:
    """A binding whose run fails on the device."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def bind_cpu_input(self, name: str, array: np.ndarray) -> None:
        raise self.error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ort_errors.Fail("CUDA failure 2: out of memory"), ModelNotReadyError),
        (ort_errors.Fail("index 9 is out of bounds"), RefusedTensorsError),
        (ort_errors.InvalidArgument("wrong rank"), RefusedTensorsError),
        (ort_errors.RuntimeException("it broke"), ModelNotReadyError),
    ],
)
def test_faults_of_the_device_are_not_blamed_on_the_values(
    stored: StoredGraph, error: Exception, expected: type[Exception]
) -> None:
    graph = engine(PretendLibrary()).load(stored, LoadOptions())
    graph._session.io_binding = lambda: FailingBinding(error)
    with pytest.raises(ModelNotReadyError) as caught:
        graph.run(ids(stored))
    assert type(caught.value) is expected


def test_a_closed_graph_is_not_run_any_more(stored: StoredGraph) -> None:
    graph = engine(PretendLibrary()).load(stored, LoadOptions())
    graph.close()
    with pytest.raises(ModelNotReadyError, match="not loaded any more"):
        graph.run(ids(stored))


def test_the_engine_of_this_machine_is_found_or_says_why_not(stored: StoredGraph) -> None:
    reason = list_cuda_devices().reason
    if reason:
        with pytest.raises(ArtifactError, match="no NVIDIA GPU can be used"):
            find_engine("onnxruntime_gpu")
        pytest.skip(f"nothing was run on a GPU: {reason}")
    made = find_engine("onnxruntime_gpu")
    for precision in made.precisions:
        graph = made.load(stored, LoadOptions(precision))
        assert isinstance(graph, OnnxRuntimeGpuGraph)
        assert graph.run(ids(stored))["logits"].shape == (2, 2)


def test_a_shared_graph_is_compiled_for_the_widest_of_its_heads(tmp_path: Path) -> None:
    short = classification("text/sentiment", "no", "yes", parameters={"max_tokens": 64})
    long = classification("text/topic", "a", "b", parameters={"max_tokens": 256})
    root = write_repository(tmp_path, [short, long], Layout.SHARED)
    models = read_repository(root).models
    for model in models.values():
        tokenizer, trunk, _ = model.graphs
        assert tokenizer.limits["tokens"] == (2, 256)
        assert trunk.limits["length"][0] == 2
    directory = root / "text_sentiment"
    alone = read_model(directory, read_config(directory / CONFIG_FILE))
    assert alone.graphs[0].limits == {}
