"""Both clients, with a transport in the place of a service."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from omnivec2 import errors
from omnivec2_api.answers.answer import Answer
from omnivec2_api.answers.answer_types import Classification, Embedding
from omnivec2_api.async_client import AsyncClient
from omnivec2_api.client import Client
from omnivec2_api.head_info import HeadInfo
from service.errors import status_of
from tests.support.model_repositories.tiny_models import tiny_heads

HEADS = [head.model_dump(mode="json") for head in tiny_heads()]
CAT = [{"label": "cat", "score": 0.75}]


class Service:
    """Answers requests from a list of responses, and keeps the requests."""

    def __init__(self, *responses: httpx2.Response | Exception) -> None:
        self.responses: Iterator[httpx2.Response | Exception] = iter(responses)
        self.requests: list[httpx2.Request] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.path.endswith("/models"):
            return httpx2.Response(200, json={"models": HEADS, "refused": []})
        request.read()
        self.requests.append(request)
        response = next(self.responses)
        if isinstance(response, Exception):
            raise response
        return response

    def client(self, **options) -> Client:
        transport = httpx2.MockTransport(self)
        return Client("http://service/", transport=transport, **options)


def respond(value=CAT, **headers: str) -> httpx2.Response:
    return httpx2.Response(200, json=value, headers={"X-Model-Version": "7", **headers})


def problem(kind: str, status: int, headers=None, **members) -> httpx2.Response:
    body = {"type": f"urn:omnivec2:problem:{kind}", "detail": "what is wrong", **members}
    return httpx2.Response(status, json=body, headers=headers or {})


def label_of(answer: Answer) -> str:
    assert isinstance(answer, Classification)
    return answer.label


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that clients have waited; no time passes."""
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr("omnivec2_api.client.time.sleep", waited.append)
    monkeypatch.setattr("omnivec2_api.async_client.asyncio.sleep", sleep)
    return waited


def test_an_answer_has_notes_and_version():
    service = Service(respond(**{"X-Notes": 'cut;field="inputs";count=412;text="cut off"'}))
    with service.client() as client:
        got = client.predict("image/classification", b"data")
    assert isinstance(got, Classification)
    assert (got.label, got.version) == ("cat", "7")
    assert got.notes[0].to_json() == {
        "code": "cut",
        "field": "inputs",
        "count": 412,
        "text": "cut off",
    }


def test_a_file_goes_as_a_form_with_its_type_and_parameters(tmp_path: Path):
    path = tmp_path / "secret name.jpg"
    path.write_bytes(b"data")
    service = Service(respond())
    with service.client(api_key="key") as client:
        client.predict("image/classification", path, top_k=1, strict=True)
    (request,) = service.requests
    assert str(request.url) == "http://service/predict/image/classification"
    assert request.headers["authorization"] == "Bearer key"
    assert request.headers["x-strict"] == "true"
    body = request.content
    assert b"image/jpeg" in body
    assert b'{"top_k": 1}' in body
    assert b"secret" not in body


def test_a_text_goes_as_json():
    service = Service(respond([CAT]))
    with service.client() as client:
        assert label_of(client.predict("text/sentiment", "a film", top_k=1)) == "cat"
    (request,) = service.requests
    assert json.loads(request.content) == {"inputs": "a film", "parameters": {"top_k": 1}}


def test_several_tasks_are_one_request():
    service = Service(
        respond({"classification": CAT, "embedding": [[1.0]]}, **{"X-Model-Version": "1,2"})
    )
    with service.client() as client:
        answers = client.predict_tasks("image", ["classification", "embedding"], b"data")
    assert service.requests[0].url.query == b"tasks=classification,embedding"
    assert isinstance(answers["embedding"], Embedding)
    assert answers["embedding"].vector.tolist() == [1.0]
    assert answers["embedding"].version == "2"


def test_heads_are_those_of_the_service():
    with Service().client() as client:
        head = client.heads["image/classification"]
    assert isinstance(head, HeadInfo)
    assert head.labels == ("cat", "dog", "horse")


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_service_is_asked_again_after_the_time_it_names(status: int, waits: list[float]):
    busy = problem("overloaded", status, {"Retry-After": "3"})
    service = Service(busy, busy, respond())
    with service.client() as client:
        assert label_of(client.predict("image/classification", b"data")) == "cat"
    assert len(waits) == 2
    assert all(3 <= wait <= 3.6 for wait in waits)


def test_a_service_that_stays_busy_is_an_error(waits: list[float]):
    busy = problem("overloaded", 429, {"Retry-After": "1"})
    with (
        Service(*[busy] * 3).client(retries=2) as client,
        pytest.raises(errors.OverloadedError, match="what is wrong") as failed,
    ):
        client.predict("image/classification", b"data")
    assert failed.value.retry_after_seconds == 1
    assert len(waits) == 2


def test_a_wait_that_is_too_long_is_an_error_at_once(waits: list[float]):
    with (
        Service(problem("overloaded", 429, {"Retry-After": "3600"})).client() as client,
        pytest.raises(errors.OverloadedError),
    ):
        client.predict("image/classification", b"data")
    assert waits == []


def test_a_lost_connection_is_tried_again(waits: list[float]):
    service = Service(httpx2.ConnectError("refused"), respond())
    with service.client() as client:
        assert label_of(client.predict("image/classification", b"data")) == "cat"
    assert len(waits) == 1


def test_a_service_that_does_not_run_is_an_error(waits: list[float]):
    with (
        Service(*[httpx2.ConnectError("refused")] * 3).client() as client,
        pytest.raises(errors.ModelNotReadyError, match=r"http://service.*does it run"),
    ):
        client.predict("image/classification", b"data")


def test_an_address_without_a_scheme_is_an_error(waits: list[float]):
    with (
        Client("localhost:8080") as client,
        pytest.raises(errors.ModelNotReadyError, match="localhost:8080"),
    ):
        client.predict("image/classification", b"data")
    assert waits == []


def test_an_answer_that_does_not_come_is_an_error():
    with (
        Service(httpx2.ReadTimeout("slow")).client(timeout=2) as client,
        pytest.raises(errors.DeadlineExceededError, match="no answer within 2 s"),
    ):
        client.predict("image/classification", b"data")


@pytest.mark.parametrize(
    "kind",
    [
        *("UnknownModelError", "TooLargeError", "UnsupportedMediaTypeError", "UndecodableError"),
        *("InvalidInputError", "InvalidParameterError", "NotedInputError", "ForbiddenError"),
        *("UnauthenticatedError", "DeadlineExceededError"),
    ],
)
def test_a_problem_is_the_error_that_the_service_raised(kind: str):
    error = getattr(errors, kind)
    words = "".join(f"-{c.lower()}" if c.isupper() else c for c in kind.removesuffix("Error"))
    refused = problem(
        words.removeprefix("-"),
        status_of(error),
        {"X-Request-ID": "id-1"},
        field="inputs",
        known=["a"],
        notes=[{"code": "cut", "count": 1, "text": "x"}],
    )
    with Service(refused).client() as client, pytest.raises(error, match="what is wrong") as failed:
        client.predict("image/classification", b"data")
    assert type(failed.value) is error
    assert failed.value.__notes__ == ["X-Request-ID: id-1"]
    if isinstance(failed.value, errors.InputError):
        assert failed.value.field == "inputs"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (404, errors.UnknownModelError),
        (418, errors.InputError),
        (502, errors.ModelNotReadyError),
        (500, errors.OmniVecError),
    ],
)
def test_what_a_proxy_answers_is_an_error_too(status: int, kind: type[Exception]):
    with (
        Service(httpx2.Response(status, text="<html>")).client() as client,
        pytest.raises(kind, match=str(status)),
    ):
        client.predict("image/classification", b"data")


def test_a_batch_is_answered_in_order():
    service = Service(*[respond([[{"label": str(n), "score": 1.0}]]) for n in range(40)])
    with service.client(concurrency=1) as client:
        labels = [label_of(answer) for answer in client.predict_batch("text/sentiment", ["x"] * 40)]
    assert labels == [str(number) for number in range(40)]


def test_a_closed_client_says_so():
    client = Service().client()
    client.close()
    with pytest.raises(errors.ModelNotReadyError, match="closed"):
        client.predict("text/sentiment", "x")


def test_the_verbs_of_the_asynchronous_client_are_the_same(waits: list[float]):
    service = Service(
        problem("overloaded", 429, {"Retry-After": "1"}),
        respond(),
        respond({"classification": CAT, "embedding": [[1.0]]}, **{"X-Model-Version": "1,2"}),
        respond([[0.5]]),
        respond([CAT]),
        problem("undecodable", 422),
        respond([CAT]),
        problem("undecodable", 422),
    )

    async def ask():
        transport = httpx2.MockTransport(service)
        async with AsyncClient("http://service", transport=transport, concurrency=1) as client:
            assert "image/classification" in await client.heads()
            first = await client.predict("image/classification", b"data", top_k=1)
            assert label_of(first) == "cat"
            both = await client.predict_tasks("image", ["classification", "embedding"], b"data")
            assert label_of(both["classification"]) == "cat"
            assert (await client.embed("text", "x")).vector.tolist() == [0.5]
            batch = client.predict_batch("text/sentiment", list("abc"), return_exceptions=True)
            kinds = [type(answer) async for answer in batch]
            assert kinds == [Classification, errors.UndecodableError, Classification]
            with pytest.raises(errors.UndecodableError):
                async for _ in client.predict_batch("text/sentiment", ["x"]):
                    pass

    asyncio.run(ask())
    assert len(waits) == 1


def test_the_asynchronous_client_embeds_with_embedding_heads_only():
    async def ask():
        transport = httpx2.MockTransport(Service(respond([CAT])))
        async with AsyncClient("http://service", transport=transport) as client:
            await client.embed("text", "x", task="sentiment")

    with pytest.raises(errors.InvalidParameterError, match="no vectors"):
        asyncio.run(ask())


COUNTED = {
    "head": "image/classification",
    "version": "7",
    "digest": "0123",
    "samples": [{"predicted": ["cat"], "truth": ["dog"], "outcome": "incorrect"}],
}


def test_feedback_is_given_on_an_answer_or_on_the_id_of_its_request() -> None:
    service = Service(
        respond(**{"X-Request-ID": "a b/c"}),
        httpx2.Response(200, json=COUNTED),
        httpx2.Response(200, json=COUNTED),
        problem("feedback-given", 410),
    )
    with service.client() as client:
        answer = client.predict("image/classification", b"a picture")
        assert answer.request_id == "a b/c"
        feedback = client.give_feedback(answer, "dog")
        assert (feedback.route, feedback.version) == ("image/classification", "7")
        (sample,) = feedback.samples
        assert (sample.predicted, sample.truth, sample.outcome) == (["cat"], ["dog"], "incorrect")
        assert sample.absolute_error == {}
        client.give_feedback("another", labels=[1, 2])
        with pytest.raises(errors.FeedbackGivenError):
            client.give_feedback(answer, "dog")
        for given in ({}, {"label": 1, "labels": [1]}):
            with pytest.raises(errors.InvalidInputError, match="either label, or labels"):
                client.give_feedback(answer, **given)
        with pytest.raises(errors.InvalidInputError, match="in this process"):
            client.give_feedback(Answer("image/classification", CAT), "dog")
    _, first, second, _ = service.requests
    assert first.url.raw_path == b"/feedback/a%20b%2Fc"
    assert json.loads(first.content) == {"label": "dog", "task": "classification"}
    assert json.loads(second.content) == {"labels": [1, 2]}


def test_the_asynchronous_client_gives_feedback_too() -> None:
    measured = {"predicted": {"x": 1.0}, "truth": {"x": 3.0}, "outcome": "measured"}
    counted = {**COUNTED, "samples": [{**measured, "absolute_error": {"x": 2.0}}]}
    service = Service(httpx2.Response(200, json=counted))

    async def main() -> None:
        transport = httpx2.MockTransport(service)
        async with AsyncClient("http://service/", transport=transport) as client:
            feedback = await client.give_feedback("an id", {"x": 3.0}, task="count")
            assert feedback.samples[0].absolute_error == {"x": 2.0}

    asyncio.run(main())
    assert json.loads(service.requests[0].content) == {"label": {"x": 3.0}, "task": "count"}
