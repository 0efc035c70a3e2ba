"""True labels: checked against a head, and compared with what it predicted."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import JsonValue

from omnivec2.errors import InvalidInputError
from omnivec2.spec import HeadSpec, TaskFamily
from service.monitoring.answered_classes import Prediction, has_predictions

_SHOWN_LABELS = 50
"""The most classes that an error lists."""

CORRECT, INCORRECT, MEASURED = "correct", "incorrect", "measured"


@dataclass(frozen=True)
class Truth:
    """What is true of one sample.

    Attributes:
        labels: The names of its classes; empty for numbers.
        values: The numbers by the name of their target; empty for classes.
    """

    labels: frozenset[str] = frozenset()
    values: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> JsonValue:
        """Return it as an event shows it."""
        return dict(self.values) if self.values else list[JsonValue](sorted(self.labels))


@dataclass(frozen=True)
class Outcome:
    """A prediction beside the truth.

    Attributes:
        word: The word ``correct`` or ``incorrect`` for classes, ``measured`` for numbers. A set of
            labels is correct if it is the same set.
        errors: The absolute errors by the name of their target; empty for classes.
    """

    word: str
    errors: Mapping[str, float] = field(default_factory=dict)


def read_truth(spec: HeadSpec, value: JsonValue, place: str) -> Truth:
    """Return what a caller says is true of a sample, in the names of a head.

    Args:
        spec: The spec of the head.
        value: The name or index of a class, a list of them for a head that gives any number of
            labels, a number for one that measures, or target -> number for several targets.
        place: The field that holds the value, for errors.

    Raises:
        InvalidInputError: It is none of the head's.
    """
    if not has_predictions(spec):
        raise InvalidInputError(
            f"feedback is taken on classes and numbers, and {spec.route} answers with neither",
            field=place,
        )
    if spec.family is TaskFamily.REGRESSION:
        return Truth(values=_read_values(spec, value, place))
    if not spec.is_multi_label:
        return Truth(frozenset({_read_label(spec, value, place)}))
    if not isinstance(value, list):
        raise InvalidInputError(
            f"{place}: expected a list of classes of {spec.route}, which may be empty",
            field=place,
            known=spec.labels[:_SHOWN_LABELS],
        )
    return Truth(frozenset(_read_label(spec, one, f"{place}[{n}]") for n, one in enumerate(value)))


def compare(truth: Truth, prediction: Prediction) -> Outcome:
    """Compare a prediction with the truth of its sample."""
    if not truth.values:
        is_right = frozenset(prediction.labels) == truth.labels
        return Outcome(CORRECT if is_right else INCORRECT)
    known = truth.values.keys() & prediction.values.keys()
    return Outcome(
        MEASURED, {name: abs(truth.values[name] - prediction.values[name]) for name in known}
    )


def read_truths(
    spec: HeadSpec, label: JsonValue, labels: Sequence[JsonValue] | None, samples: int
) -> list[Truth]:
    """Return the truth of each sample of an answer.

    Args:
        spec: The spec of the head.
        label: The field ``label``: the truth of the only sample.
        labels: The field ``labels``, one for each of several samples; None if it is not given.
        samples: The number of samples that the answer is to.

    Raises:
        InvalidInputError: There are not as many as samples, or one is not valid.
    """
    if labels is None:
        if samples != 1:
            raise InvalidInputError(
                f"the answer is to {samples} samples: expected 'labels', a list of as many",
                field="labels",
            )
        return [read_truth(spec, label, "label")]
    if len(labels) != samples:
        raise InvalidInputError(
            f"labels: expected {samples}, one for each sample of the answer, got {len(labels)}",
            field="labels",
        )
    return [read_truth(spec, one, f"labels[{n}]") for n, one in enumerate(labels)]


def _read_label(spec: HeadSpec, value: JsonValue, place: str) -> str:
    if isinstance(value, str) and value in spec.labels:
        return value
    is_index = isinstance(value, int) and not isinstance(value, bool)
    if is_index and 0 <= int(value) < len(spec.labels):  # type: ignore[arg-type]
        return spec.labels[int(value)]  # type: ignore[arg-type]
    raise InvalidInputError(
        f"{place}: expected the name of one of {len(spec.labels)} classes of {spec.route}, or its "
        f"index from 0 to {len(spec.labels) - 1}, got {_shown(value)}",
        field=place,
        known=spec.labels[:_SHOWN_LABELS],
    )


def _read_values(spec: HeadSpec, value: JsonValue, place: str) -> dict[str, float]:
    names = [target.name for target in spec.targets]
    given = value if isinstance(value, dict) else {names[0]: value} if len(names) == 1 else None
    is_number: Callable[[JsonValue], bool] = lambda one: (  # noqa: E731
        isinstance(one, int | float) and not isinstance(one, bool) and math.isfinite(one)
    )
    if not given or not given.keys() <= set(names) or not all(map(is_number, given.values())):
        wanted = "a number" if len(names) == 1 else "an object of target and number"
        units = ", ".join(f"{t.name} ({t.unit})" if t.unit else t.name for t in spec.targets)
        raise InvalidInputError(
            f"{place}: expected {wanted} for {spec.route}, whose targets are {units}; "
            f"got {_shown(value)}",
            field=place,
            known=names,
        )
    return {name: float(one) for name, one in given.items()}  # type: ignore[arg-type]


def _shown(value: JsonValue) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
