from __future__ import annotations

import json
from typing import Any

import pytest

from loadtests.traffic.answer_checks import Answers, WrongAnswerError, stages_ms
from omnivec2.postprocess import postprocessor_for
from omnivec2.preprocess import preprocessor_for
from service.app import create_app
from service.openapi.document import build
from service.pipeline.host_stages import Head
from service.runtimes.base import Model
from service.settings import Settings
from tests.support.model_repositories.tiny_models import tiny_heads

PATH = "/predict/image/classification"
HEADERS = {
    "content-type": "application/json",
    "x-request-id": "1",
    "x-model": "image_classification",
    "server-timing": "decode;dur=1.50, compute;dur=20",
}
PROBLEM = {"type": "t", "title": "t", "status": 429, "detail": "d", "instance": "i", "error": "e"}
RIGHT = [{"label": "cat", "score": 0.5}]


@pytest.fixture(scope="module")
def answers() -> Answers:
    heads = {
        spec.route: Head(Model(spec), preprocessor_for(spec), postprocessor_for(spec.family))
        for spec in tiny_heads()
    }
    return Answers(build(create_app(Settings()), heads))


def test_right_answers_pass(answers: Answers) -> None:
    answers.check(PATH, 200, HEADERS, json.dumps(RIGHT).encode())
    headers = {"content-type": "application/problem+json", "retry-after": "1"}
    answers.check(PATH, 429, headers, json.dumps(PROBLEM).encode())


@pytest.mark.parametrize(
    ("status", "headers", "body", "reason"),
    [
        (200, {}, [{"label": "cat"}], "wrong schema"),
        (200, {}, {"error": "none"}, "wrong schema"),
        (200, {"content-type": "text/html"}, RIGHT, "text/html"),
        (200, {"server-timing": None}, RIGHT, "without server-timing"),
        (500, {"content-type": "application/problem+json"}, PROBLEM, "not documented"),
        (429, {"content-type": "application/problem+json"}, PROBLEM, "without retry-after"),
        (429, {"content-type": "application/problem+json"}, {}, "wrong schema"),
    ],
)
def test_wrong_answers_are_told(
    answers: Answers, status: int, headers: dict[str, str | None], body: Any, reason: str
) -> None:
    merged = {name: value for name, value in {**HEADERS, **headers}.items() if value is not None}
    with pytest.raises(WrongAnswerError, match=reason):
        answers.check(PATH, status, merged, json.dumps(body).encode())


def test_half_an_answer_is_wrong(answers: Answers) -> None:
    with pytest.raises(WrongAnswerError):
        answers.check(PATH, 200, HEADERS, b'[{"label": "c')


def test_stages_are_read_from_the_header() -> None:
    assert stages_ms(HEADERS["server-timing"]) == {"decode": 1.5, "compute": 20.0}
