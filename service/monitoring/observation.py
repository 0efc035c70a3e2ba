"""A request that is looked at, from the moment at which that is decided to its answer."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import JsonValue

from omnivec2.arrays import Array
from service.pipeline.answers import Answer, Timings
from service.pipeline.host_stages import RawInput
from service.runtimes.base import Model
from service.runtimes.seen_summaries import SeenInput, SeenSummaries

_MOST_ROWS = 32
"""The most rows of one input that count: a large table must not fill the window alone."""


@dataclass(frozen=True)
class Observation:
    """What was decided about a request when it came.

    Attributes:
        is_by_task: Whether it is to several heads, whose answers are by task.
        is_logged: Whether it goes to the payload log.
        is_measured: Whether it counts in drift.
        seen: The trunk's summaries, as they come; None if nobody wants them.
        started: The value of ``time.perf_counter()`` when it was decided.
    """

    is_by_task: bool
    is_logged: bool
    is_measured: bool
    seen: SeenSummaries | None
    started: float


@dataclass(frozen=True)
class AnsweredRequest:
    """A sampled request with its answer, as the monitor's thread gets it.

    Attributes:
        request_id: The id of the request.
        key: The name of its API key; None where none is required.
        observation: The decision about it.
        models: The models that answered.
        inputs: The inputs, if they are logged.
        body: The answer, in JSON.
        notes: The notes on the inputs.
        timings: The time of each stage.
        seconds: The time from the decision to the answer.
        answered: The value of ``time.perf_counter()`` at the answer.
        summaries: The trunk's summaries of some rows of the inputs, by model.
    """

    request_id: str
    key: str | None
    observation: Observation
    models: Sequence[Model]
    inputs: Sequence[RawInput] | None
    body: bytes
    notes: Sequence[Mapping[str, str | int]]
    timings: Timings
    seconds: float
    answered: float
    summaries: Mapping[Model, Mapping[str, Array]]

    @classmethod
    def of(
        cls,
        observation: Observation,
        request_id: str,
        key: str | None,
        inputs: Sequence[RawInput] | None,
        answer: Answer,
    ) -> AnsweredRequest:
        """Return a request that has just been answered."""
        return cls(
            request_id,
            key,
            observation,
            answer.models,
            inputs,
            answer.body,
            [note.to_json() for note in answer.notes],
            answer.timings,
            time.perf_counter() - observation.started,
            time.perf_counter(),
            _sampled_rows(observation.seen or ()),
        )

    @property
    def nbytes(self) -> int:
        """About how much memory it holds."""
        arrays = [array for one in self.summaries.values() for array in one.values()]
        inputs = sum(one.nbytes for one in self.inputs or ())
        return len(self.body) + inputs + sum(array.nbytes for array in arrays) + 1000

    def answers(self, body: JsonValue) -> list[tuple[Model, JsonValue]]:
        """Return each model with its answer.

        Args:
            body: The answer, parsed.
        """
        if self.observation.is_by_task and isinstance(body, dict):
            return [(model, body.get(model.spec.task)) for model in self.models]
        return [(self.models[0], body)]


def _sampled_rows(seen: Sequence[SeenInput]) -> dict[Model, dict[str, Array]]:
    """Return one row of each input, or some if they are independent, as one batch per model.

    The rows of one recording are alike, and would count as many. The batch is a copy: what was
    seen are views of larger arrays.
    """
    picked: dict[Model, list[dict[str, Array]]] = {}
    for one in seen:
        rows = len(next(iter(one.summaries.values())))
        count = min(rows, _MOST_ROWS) if one.are_independent else 1
        chosen = random.sample(range(rows), count)
        own = {name: array[chosen] for name, array in one.summaries.items()}
        picked.setdefault(one.model, []).append(own)
    return {
        model: {name: np.concatenate([own[name] for own in parts]) for name in parts[0]}
        for model, parts in picked.items()
    }
