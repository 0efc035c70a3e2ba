"""What a head predicted, read back from the JSON of its answer.

The answer is read here, in a thread or when feedback comes, so that the request pays nothing for
it. Its forms are those of ``omnivec2.postprocess``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue

from omnivec2.spec import HeadSpec, TaskFamily

PREDICTING_FAMILIES = frozenset({TaskFamily.CLASSIFICATION, TaskFamily.REGRESSION})
"""Families whose answers are classes or numbers, which one true label can be compared with."""


@dataclass(frozen=True)
class Prediction:
    """The prediction for one sample.

    Attributes:
        labels: The class with the highest score; of a head that gives any number of labels, all
            that it gave; empty for numbers.
        values: The numbers by the name of their target; empty for classes.
        score: The score of the first class, or the first number; None if the answer has none.
    """

    labels: tuple[str, ...] = ()
    values: Mapping[str, float] = field(default_factory=dict)
    score: float | None = None


def has_predictions(spec: HeadSpec) -> bool:
    """Whether a head answers a sample with classes or with numbers, and not with maps of them."""
    has_maps = any(len(tensor.shape) > 1 for tensor in spec.outputs)
    return spec.family in PREDICTING_FAMILIES and not has_maps


def read_predictions(spec: HeadSpec, answer: JsonValue) -> list[Prediction]:
    """Return the predictions in an answer, in the order of the samples.

    Args:
        spec: The spec of the head, for which ``has_predictions`` holds.
        answer: The body of the answer, to one input or to several.
    """
    return list(_walk(spec, answer))


def _walk(spec: HeadSpec, node: JsonValue) -> Iterator[Prediction]:
    if isinstance(node, str):
        yield Prediction(labels=(node,))
    elif isinstance(node, int | float):
        yield Prediction(values={spec.targets[0].name: float(node)}, score=float(node))
    elif isinstance(node, dict) and "answer" in node:
        yield from _walk(spec, node["answer"])  # beside it is more: explanations
    elif isinstance(node, list) and _is_one_sample(spec, node):
        yield _prediction(spec, node)
    elif isinstance(node, list):
        for part in node:
            yield from _walk(spec, part)


def _is_one_sample(spec: HeadSpec, node: list[JsonValue]) -> bool:
    """Whether a list is the answer to one sample: of labels with scores, values or names."""
    if spec.is_multi_label and all(isinstance(item, str) for item in node):
        return True  # also an empty list: none of the labels
    # A threshold may leave no class at all.
    return all(isinstance(item, dict) and "label" in item for item in node)


def _prediction(spec: HeadSpec, node: list[JsonValue]) -> Prediction:
    items = [item if isinstance(item, dict) else {"label": item} for item in node]
    if spec.family is TaskFamily.REGRESSION:
        values = {str(item["label"]): _number(item.get("value")) for item in items}
        known = {name: value for name, value in values.items() if value is not None}
        return Prediction(values=known, score=next(iter(known.values()), None))
    labels = tuple(str(item["label"]) for item in items)
    score = _number(items[0].get("score")) if items else None
    return Prediction(labels=labels if spec.is_multi_label else labels[:1], score=score)


def _number(value: JsonValue) -> float | None:
    return float(value) if isinstance(value, int | float) else None
