from __future__ import annotations

import asyncio
import gc
import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from omnivec2.errors import ArtifactError
from omnivec2.postprocess import postprocessor_for
from omnivec2.preprocess import preprocessor_for
from service.pipeline.host_stages import Head
from service.runtimes.base import Model
from service.runtimes.embedded.runtime import EmbeddedRuntime
from service.server.gateway_process import _load_before_fork, curl_example
from service.settings import Settings
from tests.support.model_repositories.tiny_models import (
    classification,
    tiny_heads,
    write_repository,
)

HEADS = {
    spec.route: Head(Model(spec), preprocessor_for(spec), postprocessor_for(spec.family))
    for spec in tiny_heads()
}


def chosen(*routes: str) -> dict[str, Head]:
    return {route: HEADS[route] for route in routes}


def test_the_first_try_needs_no_file_if_some_head_needs_none() -> None:
    heads = chosen("image/classification", "text/embedding", "text/sentiment")
    words = shlex.split(curl_example("http://here", heads))
    assert words[-1] == "http://here/predict/text/sentiment"
    assert json.loads(words[words.index("-d") + 1])["inputs"]


def test_the_first_try_is_an_embedding_only_if_there_is_nothing_else() -> None:
    assert curl_example("http://here", chosen("text/embedding")).endswith("/predict/text/embedding")


def test_the_first_try_is_a_text_with_few_labels_and_not_an_experiment() -> None:
    labels = ("open", "close", "lock", "unlock")
    routes = {
        "text/abuse": classification("text/abuse", "no", "yes").model_copy(
            update={"experimental": True}
        ),
        "text/banking": classification("text/banking", *labels),
        "text/sentiment": classification("text/sentiment", "no", "yes"),
    }
    heads = chosen("graph/solubility", "text/embedding", "tabular/income") | {
        route: Head(Model(spec), preprocessor_for(spec), postprocessor_for(spec.family))
        for route, spec in routes.items()
    }
    assert curl_example("http://here", heads).endswith("/predict/text/sentiment")
    del heads["text/sentiment"]
    assert curl_example("http://here", heads).endswith("/predict/text/banking")
    del heads["text/banking"]
    assert curl_example("http://here", heads).endswith("/predict/tabular/income")


@pytest.mark.parametrize("route", ["image/classification", "audio/events"])
def test_the_first_try_asks_for_a_file_if_every_head_needs_one(route: str) -> None:
    assert "--data-binary @FILE" in curl_example("http://here", chosen(route))


def test_models_are_loaded_before_the_fork_where_the_engine_has_no_threads(tmp_path: Path) -> None:
    root = write_repository(tmp_path, [classification("text/sentiment", "no", "yes")])
    runtime = _load_before_fork(Settings(model_repo=root, engine="onnxruntime"))
    gc.unfreeze()
    assert isinstance(runtime, EmbeddedRuntime)
    assert runtime.models() == {}  # until a process has started it

    async def start() -> list[str]:
        await runtime.start()
        names = list(runtime.models())
        await runtime.close()
        return names

    assert asyncio.run(start()) == ["text_sentiment"]


@pytest.mark.parametrize(
    "changes",
    [{"engine": "auto"}, {"engine": "openvino"}, {"intra_op_threads": 2}, {"runtime": "triton"}],
)
def test_engines_with_threads_are_not_loaded_before_the_fork(changes: dict[str, Any]) -> None:
    assert _load_before_fork(Settings(**{"engine": "onnxruntime", **changes})) is None


def test_a_repository_that_cannot_be_served_ends_the_command(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="nothing can be served"):
        _load_before_fork(Settings(model_repo=tmp_path, engine="onnxruntime"))
