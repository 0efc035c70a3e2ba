"""What an answer loses without each segment of its input, as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from omnivec2.explanations.occlusion import Occlusion
from omnivec2.postprocess.base import Postprocessor
from omnivec2.postprocess.numeric import Floats
from omnivec2.preprocess import Array
from omnivec2.spec import HeadSpec, TaskFamily

_MOST_LABELS = 5
"""The most labels of one answer that are explained; only heads with thresholds give several."""

_RELATIVE = "share of the score that is lost without the segment"
_ABSOLUTE = "what the value loses without the segment"


class ExplainedSegment(BaseModel):
    """A part of an input, its place in the input, and what it carried."""

    model_config = ConfigDict(extra="allow")

    value: float = Field(description="positive: it speaks for the answer; negative: against it")


class Explanation(BaseModel):
    """Which parts of an input carried an answer."""

    input: int = Field(description="place of the input in the request, from 0")
    row: int | None = Field(default=None, description="its row, of an input of several")
    label: str = Field(description="answered class or target")
    score: float = Field(description="its probability; of a target its value")
    method: str = Field(description="occlusion")
    unit: str = Field(description="what a segment is, such as words")
    baseline: str = Field(description="what took the place of a segment")
    measure: str = Field(description="what the values of the segments are")
    evaluations: int = Field(description="times that the network answered more")
    extent: dict[str, JsonValue] = Field(description="size of the input, in units of the places")
    segments: list[ExplainedSegment]


def explain(
    spec: HeadSpec,
    postprocessor: Postprocessor,
    occlusion: Occlusion,
    pairs: Sequence[tuple[int, int]],
    outputs: Mapping[str, Array],
    masked_outputs: Mapping[str, Array],
) -> list[dict[str, JsonValue]]:
    """Return what each segment carried, for every label or target that is explained.

    The samples of an input are parts of it, whose scores are averaged. Scores are probabilities,
    whatever function a request applies to its answer: only these are comparable among heads.

    Args:
        spec: The head's spec.
        postprocessor: The post-processor of its family, which makes scores of outputs.
        occlusion: The segments.
        pairs: The segment and the sample of each row of ``masked_outputs``.
        outputs: The outputs for the input as it is: name -> array (samples, ...).
        masked_outputs: The outputs for masked samples: name -> array (pairs, ...).
    """
    before = _quantities(spec, postprocessor, outputs)
    after = _quantities(spec, postprocessor, masked_outputs)
    whole = before.mean(axis=0)
    # (segments, quantities): the mean with the samples of a segment exchanged.
    changed = np.repeat(whole[None], len(occlusion.segments), axis=0)
    for (segment, sample), quantities in zip(pairs, after, strict=True):
        changed[segment] += (quantities - before[sample]) / len(before)
    is_class = spec.family is TaskFamily.CLASSIFICATION
    common: dict[str, JsonValue] = {
        "method": "occlusion",
        "unit": occlusion.unit,
        "baseline": occlusion.baseline,
        "evaluations": len(pairs),
        "extent": dict(occlusion.extent),
    }
    found: list[dict[str, JsonValue]] = []
    for index in _explained(spec, whole):
        lost = whole[index] - changed[:, index]
        if is_class:
            lost = lost / max(whole[index], np.finfo(np.float64).tiny)
        segments: list[JsonValue] = [
            {**segment.place, "value": float(value)}
            for segment, value in zip(occlusion.segments, lost, strict=True)
        ]
        label, measure = _names(spec, index)
        head: dict[str, JsonValue] = {"label": label, "score": float(whole[index])}
        found.append({**head, **common, "measure": measure, "segments": segments})
    return found


def _quantities(
    spec: HeadSpec, postprocessor: Postprocessor, outputs: Mapping[str, Array]
) -> Floats:
    """Return probabilities (samples, labels) or values (samples, targets), as answers have them."""
    names = spec.labels or tuple(target.name for target in spec.targets)
    wanted = {"top_k": len(names)} if spec.family is TaskFamily.CLASSIFICATION else {}
    parameters = postprocessor.parameters_type.model_validate(wanted)
    found = np.empty((len(next(iter(outputs.values()))), len(names)))
    for row, quantities in enumerate(found):
        one = {name: array[row : row + 1] for name, array in outputs.items()}
        answer: Any = postprocessor(one, {}, spec, parameters)
        by_name = {item["label"]: item.get("score", item.get("value")) for item in answer}
        quantities[:] = [by_name[name] for name in names]
    return found


def _explained(spec: HeadSpec, whole: Floats) -> list[int]:
    """Return the indices of the answered label or labels, or of all targets."""
    if spec.family is TaskFamily.REGRESSION:
        return list(range(len(spec.targets)))
    order = np.argsort(-whole, kind="stable")
    reached = [int(i) for i in order if spec.is_multi_label and whole[i] >= spec.thresholds[i]]
    return reached[:_MOST_LABELS] or [int(order[0])]


def _names(spec: HeadSpec, index: int) -> tuple[str, str]:
    """Return the label and the measure of an explanation."""
    if spec.family is TaskFamily.REGRESSION:
        target = spec.targets[index]
        return target.name, f"{_ABSOLUTE}, in {target.unit}" if target.unit else _ABSOLUTE
    return spec.labels[index], _RELATIVE
