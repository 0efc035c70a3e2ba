from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

import pytest

from omnivec2.errors import StaleModelError
from service.canary.canary_router import CanaryRouter
from service.canary.heads_request import HeadsRequest
from service.pipeline.answers import RequestNotes, Timings
from service.pipeline.heads.head_versions import HeadVersions
from service.pipeline.heads.served_heads import ServedHeads
from service.pipeline.host_stages import Head
from service.runtimes.base import Model
from tests.support.model_repositories.tiny_models import classification
from tests.support.service_parts.service_fakes import FakeRuntime

SENTIMENT = classification("text/sentiment", "no", "yes")
TOPIC = classification("text/topic", "a", "b")


class Canaries:
    """Answers everything itself, once there is a canary."""

    def __init__(self, *routes: str) -> None:
        self.running = dict.fromkeys(routes)

    async def answer(
        self, request: HeadsRequest[str], by_served: Callable[[], Awaitable[Any]]
    ) -> tuple[Sequence[Head], list[str]]:
        _, served = await by_served()
        return request.heads, [f"canary beside {answer}" for answer in served]


def answer_with(
    runtime: FakeRuntime, canaries: Canaries | None = None, *, any_version: bool = True
) -> list[str]:
    """Return the versions that answered a request for ``text/sentiment``."""
    served = ServedHeads(runtime)
    versions = HeadVersions(served, cast("CanaryRouter | None", canaries))

    async def attempt(heads: Sequence[Head], timings: Timings, notes: RequestNotes) -> list[str]:
        if runtime.upcoming is not None:
            raise StaleModelError("replaced")
        return [head.model.version for head in heads]

    request = HeadsRequest([served.head("text", "sentiment")], attempt, Timings(), RequestNotes())
    return asyncio.run(versions.answer(request, any_version=any_version))[1]


def test_the_heads_that_are_served_answer() -> None:
    assert answer_with(FakeRuntime(SENTIMENT)) == ["7"]


def test_a_head_that_was_replaced_answers_in_its_new_version() -> None:
    runtime = FakeRuntime(SENTIMENT)
    runtime.upcoming = {SENTIMENT.name: Model(SENTIMENT, "8")}
    assert answer_with(runtime) == ["8"]


def test_a_head_that_was_removed_does_not_answer() -> None:
    runtime = FakeRuntime(SENTIMENT)
    runtime.upcoming = {TOPIC.name: Model(TOPIC, "1")}
    with pytest.raises(StaleModelError):
        answer_with(runtime)


def test_canaries_answer_while_one_runs_and_callers_take_any_version() -> None:
    runtime, canaries = FakeRuntime(SENTIMENT), Canaries("text/sentiment")
    assert answer_with(runtime, canaries) == ["canary beside 7"]
    assert answer_with(runtime, canaries, any_version=False) == ["7"]
    assert answer_with(runtime, Canaries()) == ["7"]
