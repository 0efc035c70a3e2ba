"""What can run on this machine follows from the settings and from what is installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from omnivec2.errors import ArtifactError
from omnivec2.passport import INT8_GRAPH_FILE
from service.runtimes.embedded.engine_choice import engine_options
from service.runtimes.embedded.engine_choice.engine_options import (
    EngineOption,
    available_options,
    distinct_options,
)
from service.runtimes.embedded.engines.base import Engine
from service.runtimes.embedded.engines.onnxruntime import OnnxRuntimeCpu
from service.runtimes.embedded.repository_reader import StoredGraph
from tests.support.service_parts.stub_engines import StubEngine


def install(monkeypatch: pytest.MonkeyPatch, **engines: Engine | str) -> None:
    """Make engines the installed ones; a text is the reason why one cannot be used."""

    def find(name: str) -> Engine:
        found = engines[name]
        if isinstance(found, str):
            raise ArtifactError(found)
        return found

    monkeypatch.setattr(engine_options, "engine_names", lambda: sorted(engines))
    monkeypatch.setattr(engine_options, "find_engine", find)


def names(options: tuple[EngineOption, ...]) -> list[str]:
    return [option.name for option in options]


def test_every_installed_engine_is_an_option_in_every_precision_it_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    swift = StubEngine("swift", precisions=("fp32", "bf16"))
    install(monkeypatch, onnxruntime=OnnxRuntimeCpu(), swift=swift, steam="there is no boiler")
    available = available_options("auto", "auto")
    assert names(available.options) == [
        "onnxruntime fp32",
        "onnxruntime int8",
        "swift fp32",
        "swift bf16",
    ]
    assert available.fallback.name == "onnxruntime fp32"
    assert available.unavailable == {"steam": "there is no boiler"}


def test_a_precision_that_is_named_leaves_only_options_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    swift = StubEngine("swift", precisions=("fp32", "bf16"))
    install(monkeypatch, onnxruntime=OnnxRuntimeCpu(), swift=swift)
    available = available_options("auto", "bf16")
    assert names(available.options) == ["swift bf16"]
    assert available.fallback.name == "onnxruntime fp32"


def test_an_engine_that_is_named_is_its_own_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    swift = StubEngine("swift", precisions=("fp32", "bf16"))
    install(monkeypatch, onnxruntime=OnnxRuntimeCpu(), swift=swift)
    available = available_options("swift", "auto")
    assert names(available.options) == ["swift fp32", "swift bf16"]
    assert available.fallback.name == "swift fp32"


def test_an_engine_that_is_named_and_cannot_be_used_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(monkeypatch, steam="there is no boiler")
    with pytest.raises(ArtifactError, match="there is no boiler"):
        available_options("steam", "auto")


def test_a_precision_that_no_engine_has_here_is_an_error_that_names_those_it_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(monkeypatch, swift=StubEngine("swift"))
    with pytest.raises(ArtifactError, match=r"nothing computes in int8 here; .* swift \(fp32\)"):
        available_options("swift", "int8")


def test_only_graphs_with_an_int8_file_are_loaded_in_int8(tmp_path: Path) -> None:
    stored = StoredGraph("trunk", "1", tmp_path, (), (), 8)
    swift = StubEngine("swift", precisions=("fp32", "bf16", "int8"))
    plain = StubEngine("plain", precisions=("fp32", "int8"))
    assert EngineOption(swift, "int8").precision_of(stored) == "bf16"
    assert EngineOption(plain, "int8").precision_of(stored) == "fp32"
    assert EngineOption(swift, "fp32").precision_of(stored) == "fp32"
    (tmp_path / INT8_GRAPH_FILE).write_bytes(b"a graph")
    assert EngineOption(swift, "int8").precision_of(stored) == "int8"
    assert stored.graph_file("int8").name == INT8_GRAPH_FILE
    assert stored.graph_file("bf16").name == "model.onnx"


def test_int8_is_an_option_only_where_a_graph_has_an_int8_file(tmp_path: Path) -> None:
    graphs = []
    for name in ("trunk", "head"):
        (tmp_path / name).mkdir()
        graphs.append(StoredGraph(name, "1", tmp_path / name, (), (), 8))
    swift = StubEngine("swift", precisions=("fp32", "bf16", "int8"))
    options = [EngineOption(swift, precision) for precision in swift.precisions]
    assert distinct_options(options, graphs) == options[:2]
    (tmp_path / "trunk" / INT8_GRAPH_FILE).write_bytes(b"a graph")
    assert distinct_options(options, graphs) == options
