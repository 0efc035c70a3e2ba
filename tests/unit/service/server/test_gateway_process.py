from __future__ import annotations

import json
import shlex

import pytest

from omnivec2.postprocess import postprocessor_for
from omnivec2.preprocess import preprocessor_for
from service.pipeline.host_stages import Head
from service.runtimes.base import Model
from service.server.gateway_process import curl_example
from tests.support.tiny_models import tiny_heads

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


@pytest.mark.parametrize("route", ["image/classification", "audio/events"])
def test_the_first_try_asks_for_a_file_if_every_head_needs_one(route: str) -> None:
    assert "--data-binary @FILE" in curl_example("http://here", chosen(route))
