"""Every head runs in the fastest engine that answers like the network, and says which it is."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path

import pytest

from omnivec2.errors import ArtifactError
from omnivec2.passport import GATE_FILE
from service.app import create_app
from service.runtimes.embedded.engine_choice.engine_options import AvailableOptions, EngineOption
from service.runtimes.embedded.engine_choice.engine_report import report_engines
from service.runtimes.embedded.engines.base import Engine
from service.runtimes.embedded.engines.onnxruntime import OnnxRuntimeCpu
from service.runtimes.embedded.model_loader import LoadedModels, ModelLoader
from service.runtimes.embedded.repository_reader import read_repository, signatures
from service.settings import Settings
from tests.support.model_repositories.tiny_models import classification, write_repository
from tests.support.requests.asgi import ask
from tests.support.service_parts.stub_engines import StubEngine, add_gate

SENTIMENT = classification("text/sentiment", "no", "yes")
TOPIC = classification("text/topic", "sport", "science", "news")
SLOW = 0.005


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two heads with accuracy gates."""
    root = write_repository(tmp_path / "repository", [SENTIMENT, TOPIC])
    for head in (SENTIMENT, TOPIC):
        add_gate(root, head)
    return root


def offer(monkeypatch: pytest.MonkeyPatch, *engines: Engine) -> None:
    """Make engines the ones of this machine; the last one is the fallback."""
    options = tuple(EngineOption(e, p) for e in engines for p in e.precisions)
    fallback = EngineOption(engines[-1], engines[-1].precisions[0])
    available = AvailableOptions(options, fallback, {"steam": "there is no boiler"})
    monkeypatch.setattr(
        "service.runtimes.embedded.model_loader.available_options", lambda *_: available
    )


def load(repository: Path, cache: Path) -> tuple[ModelLoader, LoadedModels]:
    loader = ModelLoader(Settings(model_repo=repository, cache_dir=cache))
    models = list(read_repository(repository).models.values())
    return loader, loader.load(models, signatures(repository))


def engines_of(outcome: LoadedModels) -> dict[str, str]:
    return {
        name: f"{model.execution.engine} {model.execution.precision}"
        for name, (model, _) in outcome.models.items()
        if model.execution is not None
    }


def test_the_fastest_engine_serves_what_it_answers_like_the_network(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fast = StubEngine("fast")
    offer(monkeypatch, StubEngine("slow", pause=SLOW), fast, StubEngine("last", pause=2 * SLOW))
    loader, outcome = load(repository, tmp_path / "cache")
    assert [r.option.name for r in loader.ranked] == ["fast fp32", "slow fp32", "last fp32"]
    assert engines_of(outcome) == {"text_sentiment": "fast fp32", "text_topic": "fast fp32"}
    model, _ = outcome.models["text_topic"]
    assert model.execution is not None
    assert model.execution.gate_points == pytest.approx(0, abs=1e-3)
    assert model.execution.tolerance_points == 1.0


def test_an_engine_that_errs_is_rejected_for_that_head_only(
    repository: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    fast = StubEngine("fast", errs_for=["text_topic"])
    offer(monkeypatch, fast, StubEngine("last", pause=SLOW))
    _, outcome = load(repository, tmp_path / "cache")
    assert engines_of(outcome) == {"text_sentiment": "fast fp32", "text_topic": "last fp32"}
    model, _ = outcome.models["text_topic"]
    assert model.execution is not None
    assert (
        "points from those of the network, 1 are allowed" in model.execution.rejected["fast fp32"]
    )
    assert "text_topic: fast fp32: its answers differ" in caplog.text


def test_an_engine_that_cannot_load_a_head_leaves_it_to_the_next(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fast = StubEngine("fast", errs_for=["text_topic"], fails=True)
    offer(monkeypatch, fast, StubEngine("last", pause=SLOW))
    _, outcome = load(repository, tmp_path / "cache")
    assert engines_of(outcome)["text_topic"] == "last fp32"


def test_a_head_that_no_gate_vouches_for_runs_in_the_fallback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_repository(tmp_path / "repository", [SENTIMENT, TOPIC])
    add_gate(root, SENTIMENT)
    offer(monkeypatch, StubEngine("fast"), StubEngine("last", pause=SLOW))
    _, outcome = load(root, tmp_path / "cache")
    assert engines_of(outcome) == {"text_sentiment": "fast fp32", "text_topic": "last fp32"}
    model, _ = outcome.models["text_topic"]
    assert model.execution is not None
    assert model.execution.gate_points is None


def test_a_gate_that_the_passport_does_not_vouch_for_counts_for_nothing(tmp_path: Path) -> None:
    root = write_repository(tmp_path, [SENTIMENT])
    (root / "text_sentiment" / "1" / GATE_FILE).write_bytes(b"anything")
    assert read_repository(root).models["text_sentiment"].gate is None


def test_a_head_that_fails_its_gate_everywhere_is_refused(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(monkeypatch, StubEngine("only", errs_for=["text_topic"]))
    _, outcome = load(repository, tmp_path / "cache")
    assert set(outcome.models) == {"text_sentiment"}
    assert "1 are allowed" in outcome.failed["text_topic"]


def test_what_was_measured_is_not_measured_again_at_the_next_start(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = []
    for _ in range(2):
        fast, last = StubEngine("fast"), StubEngine("last", pause=SLOW)
        offer(monkeypatch, fast, last)
        _, outcome = load(repository, tmp_path / "cache")
        assert engines_of(outcome) == {"text_sentiment": "fast fp32", "text_topic": "fast fp32"}
        runs.append([sum(graph.runs for graph in e.graphs) for e in (fast, last)])
    assert runs[0][0] > runs[1][0] == 2  # the warm-up runs of two heads
    assert runs[0][1] > runs[1][1] == 0


def test_another_version_of_an_engine_is_measured_again(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, other = StubEngine("fast"), StubEngine("fast")
    other.version = "2"
    for engine in (first, other):
        offer(monkeypatch, engine, StubEngine("last", pause=SLOW))
        load(repository, tmp_path / "cache")
    assert sum(graph.runs for graph in other.graphs) == sum(graph.runs for graph in first.graphs)


def test_a_cache_that_cannot_be_read_or_written_is_no_failure(
    repository: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    offer(monkeypatch, StubEngine("fast"), StubEngine("last", pause=SLOW))
    blocked = tmp_path / "file"
    blocked.write_text("not a directory")
    with caplog.at_level(logging.INFO):
        _, outcome = load(repository, blocked)
    assert len(outcome.models) == 2
    assert "measurements are not kept" in caplog.text
    cache = tmp_path / "cache"
    load(repository, cache)
    (written,) = cache.glob("engines-*.json")
    for content in ("no JSON", json.dumps([1]), "x" * 2**21):
        written.write_text(content)
        _, outcome = load(repository, cache)
        assert len(outcome.models) == 2


def test_a_gate_that_cannot_be_read_is_reported_and_vouches_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    root = write_repository(tmp_path / "repository", [SENTIMENT])
    add_gate(root, SENTIMENT)
    stored = list(read_repository(root).models.values())
    (root / "text_sentiment" / "1" / GATE_FILE).write_bytes(b"damaged")
    offer(monkeypatch, StubEngine("fast"), StubEngine("last", pause=SLOW))
    loader = ModelLoader(Settings(model_repo=root, cache_dir=tmp_path / "cache"))
    outcome = loader.load(stored, signatures(root))
    assert engines_of(outcome) == {"text_sentiment": "last fp32"}
    assert "text_sentiment has no accuracy gate" in caplog.text


def test_graphs_without_an_int8_file_are_shared_by_int8_and_float_options(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = StubEngine("fast", precisions=("fp32", "bf16", "int8"))
    offer(monkeypatch, engine, StubEngine("last", pause=SLOW))
    load(repository, tmp_path / "cache")
    assert {precision for _, precision in engine.loaded} == {"fp32", "bf16"}


def test_the_report_says_for_each_engine_what_it_takes_and_where_it_errs(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(
        monkeypatch,
        StubEngine("fast", errs_for=["text_topic"]),
        StubEngine("last", pause=SLOW),
    )
    report = report_engines(Settings(model_repo=repository, cache_dir=tmp_path / "cache"))
    fast, last = report.options
    assert (fast.name, fast.passed, set(fast.rejected), fast.chosen) == (
        "fast fp32",
        1,
        {"text_topic"},
        1,
    )
    assert (last.passed, last.rejected, last.chosen) == (2, {}, 1)
    assert last.seconds is not None
    assert last.seconds > SLOW / 8
    assert last.worst is not None
    assert report.unavailable == {"steam": "there is no boiler"}


def test_the_engine_of_the_settings_must_be_there(repository: Path, tmp_path: Path) -> None:
    settings = Settings(model_repo=repository, engine="steam", cache_dir=tmp_path)
    with pytest.raises(ArtifactError, match="there is no engine 'steam'"):
        ModelLoader(settings).load(
            list(read_repository(repository).models.values()), signatures(repository)
        )


def test_onnx_runtime_is_the_fallback_where_engines_are_chosen_automatically(
    repository: Path, tmp_path: Path
) -> None:
    loader = ModelLoader(Settings(model_repo=repository, cache_dir=tmp_path))
    loader.load(list(read_repository(repository).models.values()), signatures(repository))
    assert loader.fallback.name == "onnxruntime fp32"
    assert isinstance(loader.fallback.engine, OnnxRuntimeCpu)


def test_readyz_and_models_name_the_heads_that_a_faster_engine_may_not_run(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(
        monkeypatch,
        StubEngine("fast", errs_for=["text_topic"]),
        StubEngine("last", pause=SLOW),
    )

    async def main() -> None:
        app = create_app(Settings(model_repo=repository, cache_dir=tmp_path / "cache"))
        async with app.router.lifespan_context(app):
            assert app.state.gateway.loading is not None
            await app.state.gateway.loading
            ready = await ask(app, "/readyz", method="GET")
            assert ready.status == 200
            assert set(ready.json["slower"]) == {"text_topic"}
            assert "fast fp32: its answers differ" in ready.json["slower"]["text_topic"]
            listed = (await ask(app, "/models", method="GET")).json["models"]
            by_name = {model["name"]: model["execution"] for model in listed}
            assert by_name["text_sentiment"]["engine"] == "fast"
            assert by_name["text_sentiment"]["rejected"] == {}
            assert by_name["text_topic"]["engine"] == "last"
            assert "fast fp32" in by_name["text_topic"]["rejected"]
            assert by_name["text_topic"]["gate_points"] < by_name["text_topic"]["tolerance_points"]

    asyncio.run(main())
