"""OpenVINO behind the protocols of an engine, on tiny graphs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import openvino as ov
import pytest

from export.repository.layouts import Layout
from omnivec2.engines.openvino_core import make_core
from omnivec2.errors import ArtifactError, ModelNotReadyError, RefusedTensorsError
from omnivec2.passport import GRAPH_FILE, INT8_GRAPH_FILE, EnginePrecision
from service.runtimes.embedded.engines.base import LoadOptions
from service.runtimes.embedded.engines.find_engine import engine_names, find_engine
from service.runtimes.embedded.engines.onnxruntime import OnnxRuntimeCpu
from service.runtimes.embedded.engines.openvino import OpenVino
from service.runtimes.embedded.repository_reader import StoredGraph
from tests.support.model_repositories.tiny_models import classification, write_repository

IDS = ("input_ids", "token_type_ids", "attention_mask")
ENGINE = OpenVino()
CORE = make_core()


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    heads = [classification("text/sentiment", "no", "yes")]
    return write_repository(tmp_path_factory.mktemp("repository"), heads, Layout.SHARED)


def part(repository: Path, name: str, inputs: Sequence[str], outputs: Sequence[str]) -> StoredGraph:
    return StoredGraph(name, "1", repository / name / "1", tuple(inputs), tuple(outputs), 8)


@pytest.fixture
def tokenizer(repository: Path) -> StoredGraph:
    return part(repository, "tokenizer_text", IDS, ("tokens", "mask"))


def ids(rows: int, length: int) -> dict[str, np.ndarray]:
    values = np.arange(rows * length, dtype=np.int32).reshape(rows, length)
    return {name: values % 7 for name in IDS}


def lookup(directory: Path, rows: int = 6) -> StoredGraph:
    """A graph that looks words up in a table of so many rows."""
    graph = onnx.parser.parse_model(
        """
        <ir_version: 10, opset_import: ["" : 18]>
        words (int32[batch, length] input_ids) => (float[batch, length, 2] tokens)
        { tokens = Gather(table, input_ids) }
        """
    )
    table = np.arange(2 * rows, dtype=np.float32).reshape(rows, 2)
    graph.graph.initializer.append(onnx.numpy_helper.from_array(table, "table"))
    directory.mkdir(exist_ok=True)
    onnx.save(graph, directory / GRAPH_FILE)
    return StoredGraph("words", "1", directory, ("input_ids",), ("tokens",), 8)


@pytest.mark.parametrize("precision", ENGINE.precisions)
def test_it_answers_as_onnx_runtime_in_every_precision_and_size(
    tokenizer: StoredGraph, repository: Path, precision: EnginePrecision
) -> None:
    trunk = part(repository, "trunk", ("tokens", "mask"), ("features",))
    head = part(repository, "head_text_sentiment", ("features", "mask"), ("logits",))
    for rows, length in ((1, 3), (4, 50), (2, 1)):
        answers = []
        for engine, options in (
            (ENGINE, LoadOptions(precision)),
            (OnnxRuntimeCpu(), LoadOptions()),
        ):
            tensors: dict[str, np.ndarray] = ids(rows, length)
            for stored in (tokenizer, trunk, head):
                graph = engine.load(stored, options)
                tensors |= graph.run({name: tensors[name] for name in graph.inputs})
            answers.append(tensors)
        ours, theirs = answers
        for name in ("tokens", "mask", "features", "logits"):
            assert (ours[name].dtype, ours[name].shape) == (theirs[name].dtype, theirs[name].shape)
            np.testing.assert_allclose(ours[name], theirs[name], rtol=2e-2, atol=1e-3)


def test_it_knows_a_graphs_axes_as_onnx_runtime_does(tokenizer: StoredGraph) -> None:
    ours = ENGINE.load(tokenizer, LoadOptions())
    theirs = OnnxRuntimeCpu().load(tokenizer, LoadOptions())
    assert ours.inputs == theirs.inputs
    assert ours.outputs == theirs.outputs
    assert ours.memory_bytes > 0


def test_answers_stay_as_they_are_when_the_graph_runs_again(tmp_path: Path) -> None:
    graph = ENGINE.load(lookup(tmp_path), LoadOptions())
    first = graph.run({"input_ids": np.array([[1, 2]], np.int32)})["tokens"]
    graph.run({"input_ids": np.array([[5, 5]], np.int32)})
    np.testing.assert_array_equal(first, [[[2, 3], [4, 5]]])


def test_threads_that_run_at_the_same_time_get_their_own_answers(tmp_path: Path) -> None:
    graph = ENGINE.load(lookup(tmp_path), LoadOptions(workers=2))

    def run(number: int) -> bool:
        words = np.full((1 + number % 3, 1 + number % 5), number % 6, np.int32)
        tokens = graph.run({"input_ids": words})["tokens"]
        return tokens.shape == (*words.shape, 2) and bool((tokens[..., 0] == 2 * words).all())

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(run, range(200)))


def test_an_array_that_is_not_contiguous_is_read_in_its_order(tmp_path: Path) -> None:
    graph = ENGINE.load(lookup(tmp_path), LoadOptions())
    words = np.arange(6, dtype=np.int32).reshape(2, 3).T
    np.testing.assert_array_equal(graph.run({"input_ids": words})["tokens"][..., 0], 2 * words)


def test_an_array_that_may_not_be_written_is_read(tmp_path: Path) -> None:
    graph = ENGINE.load(lookup(tmp_path), LoadOptions())
    words = np.frombuffer(np.array([3, 1], np.int32).tobytes(), np.int32).reshape(1, 2)
    assert not words.flags.writeable
    assert graph.run({"input_ids": words})["tokens"].tolist() == [[[6, 7], [2, 3]]]


@pytest.mark.parametrize("word", [6, -7, 2**31 - 1])
def test_a_word_outside_of_the_vocabulary_is_refused(tmp_path: Path, word: int) -> None:
    graph = ENGINE.load(lookup(tmp_path), LoadOptions())
    with pytest.raises(RefusedTensorsError):
        graph.run({"input_ids": np.array([[0, word]], np.int32)})
    assert graph.run({"input_ids": np.array([[5, -1]], np.int32)})["tokens"].shape == (1, 2, 2)


def test_arrays_of_other_shapes_or_types_are_refused(tokenizer: StoredGraph) -> None:
    graph = ENGINE.load(tokenizer, LoadOptions())
    given = ids(2, 4)
    for wrong in (
        {name: array[None] for name, array in given.items()},
        {name: array.astype(np.float64) for name, array in given.items()},
        given | {"input_ids": given["input_ids"][:1]},
        {"input_ids": given["input_ids"]},
    ):
        with pytest.raises(RefusedTensorsError):
            graph.run(wrong)
    assert graph.run(given)["tokens"].shape[0] == 2


def test_a_graph_whose_run_failed_is_compiled_again(tmp_path: Path) -> None:
    graph = onnx.parser.parse_model(
        """
        <ir_version: 10, opset_import: ["" : 18]>
        add (float[batch, left] a, float[batch, right] b) => (float[batch, sum] c)
        { c = Add(a, b) }
        """
    )
    onnx.save(graph, tmp_path / GRAPH_FILE)
    loaded = ENGINE.load(StoredGraph("add", "1", tmp_path, ("a", "b"), ("c",), 8), LoadOptions())
    ones = np.ones((1, 3), np.float32)
    with pytest.raises(ModelNotReadyError, match="failed to run add"):
        loaded.run({"a": ones, "b": np.ones((1, 2), np.float32)})
    np.testing.assert_array_equal(loaded.run({"a": ones, "b": ones})["c"], 2 * ones)


def test_a_closed_graph_is_not_run(tokenizer: StoredGraph) -> None:
    graph = ENGINE.load(tokenizer, LoadOptions())
    graph.close()
    graph.close()
    with pytest.raises(ModelNotReadyError, match="not loaded any more"):
        graph.run(ids(1, 3))


def test_a_graph_it_cannot_load_is_an_error_that_names_it(tmp_path: Path) -> None:
    stored = lookup(tmp_path)
    (tmp_path / GRAPH_FILE).write_bytes(b"\x3a\x00")
    with pytest.raises(ArtifactError, match="words: OpenVINO cannot load it"):
        ENGINE.load(stored, LoadOptions())


def test_in_int8_the_quantized_file_is_run_if_there_is_one(tmp_path: Path) -> None:
    stored = lookup(tmp_path, rows=6)
    lookup(tmp_path / "other", rows=3)
    (tmp_path / "other" / GRAPH_FILE).rename(tmp_path / INT8_GRAPH_FILE)
    words = {"input_ids": np.array([[5]], np.int32)}
    assert ENGINE.load(stored, LoadOptions("fp32")).run(words)["tokens"].shape == (1, 1, 2)
    with pytest.raises(RefusedTensorsError):
        ENGINE.load(stored, LoadOptions("int8")).run(words)


@pytest.mark.parametrize(
    ("capabilities", "limit", "precisions"),
    [
        (["FP32", "BF16", "INT8"], "", ("fp32", "bf16", "int8")),
        (["FP32", "BF16", "INT8"], "avx512_core_amx", ("fp32", "bf16", "int8")),
        (["FP32", "BF16", "INT8"], "AVX2", ("fp32", "int8")),
        (["FP32", "INT8"], "", ("fp32", "int8")),
    ],
)
def test_bf16_is_offered_only_where_the_cpu_has_it(
    monkeypatch: pytest.MonkeyPatch,
    capabilities: list[str],
    limit: str,
    precisions: tuple[str, ...],
) -> None:
    monkeypatch.setattr(ov, "Core", lambda: FakeCore(["CPU"], capabilities))
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    assert tuple(OpenVino().precisions) == precisions


class FakeCore:
    """A machine with other devices than this one; compiles for the CPU whatever it is asked."""

    def __init__(self, devices: list[str], capabilities: list[str]) -> None:
        self.available_devices = devices
        self.asked: list[tuple[str, dict[str, object]]] = []
        self._capabilities = capabilities

    def get_property(self, device: str, name: str) -> list[str]:
        assert (device in self.available_devices, name) == (True, "OPTIMIZATION_CAPABILITIES")
        return self._capabilities

    def read_model(self, file: Path) -> ov.Model:
        return CORE.read_model(file)

    def compile_model(
        self, model: ov.Model, device: str, settings: dict[str, object]
    ) -> ov.CompiledModel:
        self.asked.append((device, settings))
        return CORE.compile_model(model, "CPU", settings)


def test_graphs_are_compiled_for_the_gpu_that_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    core = FakeCore(["CPU", "GPU.0", "GPU.1"], ["FP32", "FP16", "INT8"])
    monkeypatch.setattr(ov, "Core", lambda: core)
    engine = OpenVino("GPU.1")
    assert tuple(engine.precisions) == ("fp32", "int8")
    engine.load(lookup(tmp_path), LoadOptions(workers=8))
    assert core.asked == [("GPU.1", {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": 2})]
    monkeypatch.setattr(core, "get_property", lambda device, name: ["FP32", "INT8"])
    assert tuple(OpenVino("GPU").precisions) == ("fp32", "int8")
    with pytest.raises(ArtifactError, match=r"no device 'NPU'; it has CPU, GPU\.0, GPU\.1"):
        OpenVino("NPU")


def test_the_engine_is_found_by_its_name_and_its_parts_are_no_engines() -> None:
    assert isinstance(find_engine("openvino"), OpenVino)
    assert not [name for name in engine_names() if name.startswith("openvino_")]


def test_without_the_library_the_engine_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.delitem(sys.modules, "service.runtimes.embedded.engines.openvino")
    with pytest.raises(ArtifactError, match="the engine 'openvino' cannot be used here"):
        find_engine("openvino")


def test_on_a_cpu_without_avx_512_graphs_run_in_the_precisions_that_are_left(
    tokenizer: StoredGraph,
) -> None:
    code = f"""
import numpy as np
from pathlib import Path
from service.runtimes.embedded.engines.base import LoadOptions
from service.runtimes.embedded.engines.openvino import OpenVino
from service.runtimes.embedded.repository_reader import StoredGraph
engine = OpenVino()
stored = StoredGraph("t", "1", Path({str(tokenizer.directory)!r}), {IDS!r}, ("tokens", "mask"), 8)
for precision in engine.precisions:
    graph = engine.load(stored, LoadOptions(precision))
    answers = graph.run({{name: np.ones((1, 4), np.int32) for name in {IDS!r}}})
    print(precision, answers["tokens"].max())
"""
    environment = {"ONEDNN_MAX_CPU_ISA": "AVX2", "PYTHONPATH": ":".join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["fp32", "12.0", "int8", "12.0"]
