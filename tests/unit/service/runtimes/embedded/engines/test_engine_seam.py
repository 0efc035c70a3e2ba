"""An engine is one module: what is defined here is all that it takes to serve a head with it."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from export.repository.layouts import Layout
from omnivec2.errors import ArtifactError, ModelNotReadyError, RefusedTensorsError
from omnivec2.passport import EnginePrecision
from omnivec2.preprocess import Array
from service.app import create_app
from service.runtimes.embedded.engines.base import Engine, LoadOptions, Shape
from service.runtimes.embedded.engines.find_engine import engine_names, find_engine
from service.runtimes.embedded.engines.onnxruntime import OnnxRuntimeCpu
from service.runtimes.embedded.repository_reader import StoredGraph
from service.runtimes.embedded.runtime import EmbeddedRuntime
from service.settings import Settings
from tests.support.model_repositories.tiny_models import classification, write_repository
from tests.support.requests.asgi import ask

SENTIMENT = classification("text/sentiment", "no", "yes")
ROUTE = "/predict/text/sentiment"


class StubGraph:
    """A graph that answers "yes" to every input, unless it is set to fail."""

    memory_bytes = 1024

    def __init__(self, stored: StoredGraph) -> None:
        self.stored = stored
        self.inputs: Mapping[str, Shape] = {name: ("batch", None) for name in stored.inputs}
        self.outputs: Mapping[str, Shape] = {name: ("batch", 2) for name in stored.outputs}
        self.is_closed = False
        self.failure: Exception | None = None

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        if self.failure is not None:
            raise self.failure
        rows = len(inputs["input_ids"])
        return {"logits": np.tile(np.array([0.0, 9.0], np.float32), (rows, 1))}

    def close(self) -> None:
        self.is_closed = True


class StubEngine:
    """Remembers the graphs it has loaded."""

    name = "a stub"
    version = "1"
    precisions: Sequence[EnginePrecision] = ("fp32",)
    loaded: list[StubGraph]

    def __init__(self) -> None:
        StubEngine.loaded = []

    def load(self, stored: StoredGraph, options: LoadOptions) -> StubGraph:
        assert (options.precision, options.threads) == ("fp32", 1)
        assert (stored.directory / "model.onnx").is_file()
        StubEngine.loaded.append(StubGraph(stored))
        return StubEngine.loaded[-1]


STUB = f"{__name__}:StubEngine"


def stub_settings(root: Path) -> Settings:
    return Settings(model_repo=write_repository(root, [SENTIMENT]), engine=STUB)


def test_a_head_is_served_over_http_by_an_engine_that_a_setting_names(tmp_path: Path) -> None:
    async def main() -> None:
        app = create_app(stub_settings(tmp_path))
        async with app.router.lifespan_context(app):
            await app.state.gateway.loading
            answer = await ask(app, ROUTE, b"rather good", content_type="text/plain")
            assert answer.status == 200
            assert answer.json[0][0]["label"] == "yes"
            (graph,) = StubEngine.loaded
            assert graph.stored.name == "text_sentiment"
            graph.failure = ModelNotReadyError("the stub broke")
            failed = await ask(app, ROUTE, b"rather good", content_type="text/plain")
            assert (failed.status, failed.json["detail"]) == (503, "the stub broke")
        assert graph.is_closed

    asyncio.run(main())


def test_what_was_loaded_is_logged_with_its_size_and_its_engine(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        runtime = EmbeddedRuntime(stub_settings(tmp_path))
        await runtime.start()
        await runtime.close()

    with caplog.at_level(logging.INFO):
        asyncio.run(main())
    assert "a stub fp32: 1 graphs, 0 MiB" in caplog.text


def test_engines_are_found_by_the_names_of_their_modules() -> None:
    assert {"onnxruntime", "onnxruntime_gpu"} <= set(engine_names())
    engine: Engine = find_engine("onnxruntime")
    assert engine.name == "onnxruntime"
    assert Settings(engine="auto").engine == "auto"


def test_the_runtime_imports_no_library_of_an_engine_by_itself() -> None:
    code = "import sys, service.runtimes.embedded.runtime; assert 'onnxruntime' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_engine_that_is_not_there_is_an_error_that_names_the_others(tmp_path: Path) -> None:
    settings = Settings(model_repo=write_repository(tmp_path, [SENTIMENT]), engine="steam")
    with pytest.raises(ArtifactError, match=r"no engine 'steam'; there are .*onnxruntime"):
        asyncio.run(EmbeddedRuntime(settings).start())
    with pytest.raises(ArtifactError, match="cannot be used here: No module named 'nowhere'"):
        find_engine("nowhere:Engine")
    with pytest.raises(ArtifactError, match="cannot be used here"):
        find_engine("math:Engine")


@pytest.fixture
def stored(tmp_path: Path) -> StoredGraph:
    write_repository(tmp_path, [SENTIMENT], Layout.FUSED)
    inputs = ("input_ids", "token_type_ids", "attention_mask")
    directory = tmp_path / "text_sentiment" / "1"
    return StoredGraph("text_sentiment", "1", directory, inputs, ("logits",), 8)


def test_onnx_runtime_reports_the_tensors_of_a_graph_and_the_bytes_of_its_files(
    stored: StoredGraph,
) -> None:
    graph = OnnxRuntimeCpu().load(stored, LoadOptions())
    assert set(graph.inputs) == set(stored.inputs)
    batch, length = graph.inputs["input_ids"]
    assert isinstance(batch, str)
    assert isinstance(length, str)
    assert graph.outputs["logits"][1:] == (2,)
    assert graph.memory_bytes > (stored.directory / "model.onnx").stat().st_size


def test_failures_of_onnx_runtime_leave_its_module_only_as_errors_of_ours(
    stored: StoredGraph,
) -> None:
    graph = OnnxRuntimeCpu().load(stored, LoadOptions())
    ids = {name: np.ones((1, 4), np.int32) for name in stored.inputs}
    assert graph.run(ids)["logits"].shape == (1, 2)
    with pytest.raises(RefusedTensorsError):
        graph.run({name: array[None] for name, array in ids.items()})
    with pytest.raises(ModelNotReadyError):
        graph.run({name: array.astype(np.float64) for name, array in ids.items()})
    graph.close()
    with pytest.raises(ModelNotReadyError, match="not loaded any more"):
        graph.run(ids)
    (stored.directory / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(ArtifactError, match="text_sentiment: ONNX Runtime cannot load it"):
        OnnxRuntimeCpu().load(stored, LoadOptions())
