"""Feedback: find the answer, check the label, count once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue

from omnivec2.errors import FeedbackGivenError, InvalidInputError, UnknownRequestError
from omnivec2.spec import HeadSpec
from service.monitoring.answered_classes import Prediction, has_predictions, read_predictions
from service.monitoring.feedback.answer_record import AnsweredHead, AnswerMemory, AnswerRecord
from service.monitoring.feedback.group_answers import GroupAnswers
from service.monitoring.feedback.own_answers import MOST_ANSWER_BYTES, OwnAnswers
from service.monitoring.feedback.shared_answers import SharedAnswers
from service.monitoring.feedback.truth import Outcome, Truth, compare, read_truths
from service.shared_state.shared_store import StoreAwayError

CountOutcome = Callable[[HeadSpec, Outcome], None]
"""A callback for each sample that feedback is given on."""


@dataclass(frozen=True)
class Feedback:
    """Feedback on an answer of one head, counted.

    Attributes:
        head: The head, as it was when it answered.
        spec: The spec of the head.
        predictions: The predictions, one for each sample.
        truths: The truth of each sample.
        outcomes: The outcome of each comparison.
    """

    head: AnsweredHead
    spec: HeadSpec
    predictions: Sequence[Prediction]
    truths: Sequence[Truth]
    outcomes: Sequence[Outcome]

    def to_json(self) -> dict[str, Any]:
        """Return it as the route answers, and as an event shows it."""
        samples = [
            {
                "predicted": dict(prediction.values) or list(prediction.labels),
                "truth": truth.to_json(),
                "outcome": outcome.word,
                **({"absolute_error": dict(outcome.errors)} if outcome.errors else {}),
            }
            for prediction, truth, outcome in zip(
                self.predictions, self.truths, self.outcomes, strict=True
            )
        ]
        return {
            "head": self.head.route,
            "version": self.head.version,
            "digest": self.head.digest,
            "samples": samples,
        }


class FeedbackDesk:
    """The answers that feedback is taken on, and the feedback.

    Args:
        own: The answers of this process.
        seconds: The time for which answers are remembered, for errors.
        count: The callback for outcomes.
        siblings: The answers of other processes of this gateway; None if there are none.
        shared: The answers of all gateways; None if they share no store.
    """

    def __init__(
        self,
        own: OwnAnswers,
        seconds: float,
        count: CountOutcome,
        siblings: GroupAnswers | None = None,
        shared: SharedAnswers | None = None,
    ) -> None:
        self._own = own
        self._seconds = seconds
        self._count = count
        self._siblings = siblings
        self._shared = shared

    async def start(self) -> None:
        """Begin to answer other processes for this one's answers."""
        if self._siblings is not None:
            await self._siblings.start()

    async def close(self) -> None:
        """Stop answering other processes."""
        if self._siblings is not None:
            await self._siblings.close()

    def remember(
        self,
        request_id: str,
        key: str | None,
        heads: Sequence[tuple[HeadSpec, str]],
        body: bytes,
        *,
        is_by_task: bool,
    ) -> None:
        """Remember an answer, if feedback on it can be counted and it is not too long.

        Args:
            request_id: The id of the request.
            key: The name of the key that asked.
            heads: The spec and the version of each head that answered.
            body: The answer, in JSON.
            is_by_task: Whether the answers are by task.
        """
        if len(body) > MOST_ANSWER_BYTES or not any(has_predictions(spec) for spec, _ in heads):
            return
        answered = tuple(AnsweredHead.of(spec, version) for spec, version in heads)
        record = AnswerRecord(request_id, key, answered, body, is_by_task)
        self._own.put(record)
        if self._shared is not None:
            self._shared.put(record)

    async def take(
        self,
        request_id: str,
        key: str | None,
        given: Mapping[str, JsonValue],
        spec_of: Callable[[str], HeadSpec],
    ) -> Feedback:
        """Count the feedback on an answer.

        Args:
            request_id: The id of the request that was answered.
            key: The name of the key that gives feedback.
            given: The fields ``label``, or ``labels`` of several samples; ``task`` if several
                answered.
            spec_of: A function that returns the spec of a route.

        Raises:
            UnknownRequestError: No answer to such a request of this key is remembered.
            FeedbackGivenError: It has had its feedback.
            InvalidInputError: The label is none of the head's.
            UnknownModelError: The head is no longer served.
        """
        for memory in self._memories():
            with contextlib.suppress(StoreAwayError):
                if (record := await memory.find(request_id, key)) is not None:
                    return await self._take(memory, record, given, spec_of)
        raise UnknownRequestError(
            f"no answer to request {request_id!r} is remembered for this caller: expected the "
            f"X-Request-ID of an answer of the last {self._seconds:g} s with classes or numbers"
        )

    async def _take(
        self,
        memory: AnswerMemory,
        record: AnswerRecord,
        given: Mapping[str, JsonValue],
        spec_of: Callable[[str], HeadSpec],
    ) -> Feedback:
        head = _choose_head(record, given)
        spec = spec_of(head.route)
        predictions = (
            read_predictions(spec, record.answer_of(head)) if has_predictions(spec) else []
        )
        labels = given.get("labels")
        if labels is not None and not isinstance(labels, list):
            raise InvalidInputError("labels: expected a list", field="labels")
        truths = read_truths(spec, given.get("label"), labels, len(predictions) or 1)
        if not predictions:
            raise InvalidInputError(
                f"the answer of {head.route} holds no class and no number to compare with",
                field="label",
            )
        if not await self._claim(memory, record, head.route):
            raise FeedbackGivenError(
                f"{head.route} has had feedback on request {record.request_id!r}: it counts once"
            )
        outcomes = [compare(*pair) for pair in zip(truths, predictions, strict=True)]
        for outcome in outcomes:
            self._count(spec, outcome)
        return Feedback(head, spec, predictions, truths, outcomes)

    async def _claim(self, memory: AnswerMemory, record: AnswerRecord, route: str) -> bool:
        """Take the feedback where the answer was found, and where other gateways look."""
        asked = record.request_id, record.key, route
        with contextlib.suppress(StoreAwayError):
            if self._shared is not None and not await self._shared.claim(*asked):
                return False
            if memory is self._shared:
                return True
        return await memory.claim(*asked)

    def _memories(self) -> list[AnswerMemory]:
        """Return the places of answers, the nearest first."""
        others = (self._shared, self._siblings)
        return [self._own, *(memory for memory in others if memory is not None)]


def _choose_head(record: AnswerRecord, given: Mapping[str, JsonValue]) -> AnsweredHead:
    """Return the head that feedback is about."""
    by_task = {head.route.partition("/")[2]: head for head in record.heads}
    task = given.get("task")
    if task is None and len(by_task) == 1:
        return record.heads[0]
    if not isinstance(task, str) or task not in by_task:
        raise InvalidInputError(
            "task: expected the name of a task that answered the request",
            field="task",
            known=list(by_task),
        )
    return by_task[task]
