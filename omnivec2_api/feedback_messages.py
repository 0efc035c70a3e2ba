"""Feedback to a running service: the true label of an answer, and what the service makes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from pydantic import JsonValue

from omnivec2.errors import InvalidInputError
from omnivec2_api.answers.answer import Answer


@dataclass(frozen=True)
class ComparedSample:
    """What a head said of one sample, beside what is true.

    Attributes:
        predicted: The classes, or target -> number.
        truth: The true ones in the same form.
        outcome: The word ``correct`` or ``incorrect`` for classes, ``measured`` for numbers.
        absolute_error: The distances of numbers: target -> distance; empty for classes.
    """

    predicted: JsonValue
    truth: JsonValue
    outcome: str
    absolute_error: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Feedback:
    """Feedback that the service has counted.

    Attributes:
        route: The head that had answered, ``<modality>/<task>``.
        version: The version of its model.
        samples: The comparisons, one for each sample of the answer.
    """

    route: str
    version: str
    samples: tuple[ComparedSample, ...]


@dataclass(frozen=True)
class FeedbackMessage:
    """A request to ``/feedback``.

    Attributes:
        path: The path.
        json: The body.
    """

    path: str
    json: Mapping[str, JsonValue]


def feedback_message(
    answer: Answer | str, label: Any, labels: Sequence[Any] | None, task: str | None
) -> FeedbackMessage:
    """Return the request that gives feedback; see ``Client.give_feedback`` for arguments.

    Raises:
        InvalidInputError: The answer has no request, or there is not one of ``label`` and
            ``labels``.
    """
    request_id = answer
    if isinstance(answer, Answer):
        request_id, task = answer.request_id, task or answer.route.partition("/")[2]
        if not request_id:
            raise InvalidInputError(
                "expected an answer of a service; this one was given in this process",
                field="answer",
            )
    if (label is None) == (labels is None):
        raise InvalidInputError(
            "expected either label, or labels with one for each sample", field="label"
        )
    body: dict[str, JsonValue] = {"label": label} if labels is None else {"labels": list(labels)}
    if task:
        body["task"] = task
    return FeedbackMessage(f"feedback/{quote(str(request_id), safe='')}", body)


def feedback_of(document: Mapping[str, Any]) -> Feedback:
    """Return the feedback that the service has counted, from its response."""
    samples = tuple(
        ComparedSample(
            sample["predicted"],
            sample["truth"],
            sample["outcome"],
            sample.get("absolute_error") or {},
        )
        for sample in document["samples"]
    )
    return Feedback(document["head"], document["version"], samples)
