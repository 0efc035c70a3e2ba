"""Two versions of a head behind one route: a runtime that has both, and what a gateway shows."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import FastAPI

from omnivec2.canary.canary_state import Canary, write_canary
from omnivec2.preprocess import Array
from omnivec2.spec import HeadSpec
from service.runtimes.base import Inference, Model
from tests.support.model_repositories.tiny_models import classification
from tests.support.requests.asgi import SENTIMENT, Reply, ask
from tests.support.service_parts.service_fakes import FakeRuntime

TOPIC = classification("text/topic", "war", "peace")
CANDIDATE = SENTIMENT.model_copy(update={"task": "sentiment__candidate"})
OTHER = TOPIC.model_copy(update={"task": "topic__candidate"})


class TwoVersions(FakeRuntime):
    """Version 1 of heads, and version 2 beside them.

    Attributes:
        candidate_failure: What the candidates raise, if they fail.
        served_failure: What the served versions raise, if they fail.
        negates: Whether they prefer the other label.
        seconds: How long they say they took.
        hangs: Whether they never answer.
    """

    def __init__(self, *specs: HeadSpec) -> None:
        super().__init__(SENTIMENT, CANDIDATE, *specs)
        versions = {True: "2", False: "1"}
        self._models = {
            name: Model(model.spec, versions[name.endswith("__candidate")])
            for name, model in self._models.items()
        }
        self.candidate_failure: Exception | None = None
        self.served_failure: Exception | None = None
        self.negates = self.hangs = False
        self.seconds = 0.5

    async def infer(self, model: Model, inputs: Mapping[str, Array]) -> Inference:
        answer = await super().infer(model, inputs)
        if not model.name.endswith("__candidate"):
            if self.served_failure is not None:
                raise self.served_failure
            return answer
        if self.candidate_failure is not None:
            raise self.candidate_failure
        if self.hangs:
            await asyncio.sleep(60)
        sign = np.float32(-1 if self.negates else 1)
        outputs = {name: sign * array for name, array in answer.outputs.items()}
        return Inference(outputs, 0.0, self.seconds)


def put(repository: Path, route: str = "text/sentiment", **fields: Any) -> Canary:
    """Write a canary of version 2 that starts now."""
    now = datetime.datetime.now(datetime.UTC)
    canary = Canary(route=route, version=2, started=now, **fields)
    write_canary(repository, canary)
    return canary


async def shown(app: FastAPI) -> Any:
    """Return the canary of ``text/sentiment`` as ``/models`` shows it."""
    return (await ask(app, "/models/text/sentiment", method="GET")).json["canary"]


async def exposition(app: FastAPI) -> str:
    """Return the metrics of an application."""
    return (await ask(app, "/metrics", method="GET")).body.decode()


def versions(replies: list[Reply]) -> set[tuple[int, str]]:
    """Return the statuses and versions of replies."""
    return {(reply.status, reply.headers["x-model-version"]) for reply in replies}
