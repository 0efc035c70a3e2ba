"""Summaries token by token over real servers: both runtimes, both layouts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from export.repository.layouts import Layout
from loadtests.support.triton_server import TritonServer, running_triton
from tests.support.checkpoints.exported_writer import DECODER, ExportedWriter
from tests.support.gateways.servers import RunningServer, running_server
from tests.support.networks.writing import ROUTE
from tests.support.requests.event_streams import Event, parse_events
from tests.support.waiting import wait_until

EVENTS = {"Accept": "text/event-stream"}
TEXT = "the doctor said hello to the patient who had a cough"
MANY = {
    "inputs": [f"{TEXT} {number}" for number in range(48)],
    "parameters": {"num_beams": 4, "max_new_tokens": 38, "no_repeat_ngram_size": 0},
}
COMBINATIONS = [(layout, runtime) for layout in Layout for runtime in ("embedded", "triton")]


@dataclass
class Deployment:
    """A gateway, and the Triton server behind it if there is one."""

    gateway: RunningServer
    triton: TritonServer | None

    def post(self, body: Any, **headers: str) -> httpx.Response:
        url = f"{self.gateway.url}/predict/{ROUTE}"
        return httpx.post(url, json=body, headers=headers, timeout=60)

    def steps(self) -> float:
        """Return how many rows the decoder has computed."""
        if self.triton is not None:
            stats = httpx.get(f"{self.triton.http}/v2/models/{DECODER}/stats").json()
            return float(stats["model_stats"][0]["inference_count"])
        return self.metric(f'omnivec2_batch_rows_sum{{model="{DECODER}"}}')

    def metric(self, series: str) -> float:
        text = httpx.get(f"{self.gateway.url}/metrics").text
        found = re.search(rf"^{re.escape(series)} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def left(self) -> float:
        labels = 'modality="text",status="499",task="summarization"'
        return self.metric(f"omnivec2_requests_total{{{labels}}}")


@pytest.fixture(scope="module", params=COMBINATIONS, ids=lambda pair: f"{pair[0]}-{pair[1]}")
def deployment(request: pytest.FixtureRequest, writer: ExportedWriter) -> Iterator[Deployment]:
    layout, runtime = request.param
    repository = writer.repositories[layout]
    if runtime == "embedded":
        options = ("--model-repo", str(repository), "--checkpoint", "none")
        with running_server(*options) as gateway:
            yield Deployment(gateway, None)
        return
    with (
        running_triton(repository) as triton,
        running_server("--runtime", "triton", "--triton", triton.grpc) as gateway,
    ):
        yield Deployment(gateway, triton)


def read_events(deployment: Deployment, body: Any) -> list[Event]:
    response = deployment.post(body, **EVENTS)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/event-stream")
    return parse_events(response.content)


def test_the_text_grows_token_by_token_to_the_answer_without_a_stream(
    deployment: Deployment,
) -> None:
    *tokens, last = read_events(deployment, {"inputs": TEXT})
    texts = [event.data["answer"]["summary_text"] for event in tokens]
    assert len(texts) > 3
    assert len(set(texts)) > 3
    assert last.name == "answer"
    assert last.data["answer"] == deployment.post({"inputs": TEXT}).json()
    assert texts[-1] == last.data["answer"][0]["summary_text"]
    assert [event.id for event in (*tokens, last)] == list(range(1, len(tokens) + 2))
    assert last.data["headers"]["x-model"] == "text_summarization"


def test_events_come_while_the_rest_is_computed(deployment: Deployment) -> None:
    with (
        httpx.Client(timeout=60) as client,
        client.stream(
            "POST", f"{deployment.gateway.url}/predict/{ROUTE}", json=MANY, headers=EVENTS
        ) as response,
    ):
        lines = response.iter_lines()
        assert next(lines) == "event: token"
        # The first event is here before the decoder has done all of its steps.
        early = deployment.steps()
        *_, last = (json.loads(line[6:]) for line in lines if line.startswith("data: "))
    assert len(last["answer"]) == len(MANY["inputs"])
    assert early < deployment.steps()


def test_a_client_that_leaves_stops_the_steps_that_are_left(deployment: Deployment) -> None:
    before = deployment.steps()
    read_events(deployment, MANY)
    of_one_request = deployment.steps() - before
    before, left = deployment.steps(), deployment.left()
    with (
        httpx.Client(timeout=60) as client,
        client.stream(
            "POST", f"{deployment.gateway.url}/predict/{ROUTE}", json=MANY, headers=EVENTS
        ) as response,
    ):
        assert next(response.iter_lines()) == "event: token"
    wait_until(lambda: deployment.left() > left)
    seen: list[float] = []

    def is_still() -> bool:
        seen.append(deployment.steps())
        return len(seen) > 2 and seen[-1] == seen[-3]

    wait_until(is_still)
    assert seen[-1] - before < of_one_request


def test_refusals_have_their_own_status(deployment: Deployment) -> None:
    response = deployment.post({"inputs": TEXT, "parameters": {"num_beams": 99}}, **EVENTS)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
