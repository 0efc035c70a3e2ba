"""Detection: one class distribution and one box per query -> boxes in pixels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from pydantic import BaseModel, Field, JsonValue

from omnivec2.errors import ModelNotReadyError
from omnivec2.postprocess.base import Array, Parameters, Postprocessor
from omnivec2.postprocess.numeric import checked_labels, checked_output, softmax
from omnivec2.spec import HeadSpec, TaskFamily


class Box(BaseModel):
    """Corners in pixels of the input, from its top left; the maxima lie just outside."""

    xmin: int
    ymin: int
    xmax: int
    ymax: int


class Detection(BaseModel):
    """An object."""

    label: str
    score: float = Field(description="probability of the class")
    box: Box


class DetectionParameters(Parameters):
    """Hugging Face's parameter of object detection."""

    threshold: float | None = Field(
        default=None, ge=0.0, le=1.0, description="minimum score of a detection; default 0.5"
    )


_DEFAULT_THRESHOLD = 0.5


class DetectionPostprocessor(Postprocessor):
    """Makes ``[{"label", "score", "box"}, …]``, best first.

    Queries are matched one to one with objects in training, so no boxes are suppressed.
    """

    family = TaskFamily.DETECTION
    parameters_type = DetectionParameters

    def __call__(
        self,
        outputs: Mapping[str, Array],
        context: Mapping[str, Any],
        spec: HeadSpec,
        parameters: DetectionParameters,
    ) -> JsonValue:
        """Make the answer to one input; see the base class."""
        logits = checked_output(outputs, "logits", spec, ndim=3)[0]
        boxes = checked_output(outputs, "boxes", spec, ndim=3)[0]
        if boxes.shape != (len(logits), 4):
            raise ModelNotReadyError(f"{spec.route} gives {boxes.shape} boxes for {len(logits)}")
        names = checked_labels(spec, logits.shape[1] - 1)
        scores = softmax(logits)[:, :-1]  # the last class is "no object"
        best, classes = scores.max(axis=1), scores.argmax(axis=1)
        corners = _corners(boxes, context["size"])
        threshold = parameters.threshold
        min_score = _DEFAULT_THRESHOLD if threshold is None else threshold
        detections: list[JsonValue] = []
        for query in np.argsort(-best, kind="stable"):
            xmin, ymin, xmax, ymax = (int(value) for value in corners[query])
            if best[query] < min_score or xmin >= xmax or ymin >= ymax:
                continue
            box: JsonValue = {"xmin": xmin, "ymin": ymin, "xmax": xmax, "ymax": ymax}
            detections.append(
                {"label": names[classes[query]], "score": float(best[query]), "box": box}
            )
        return detections

    def response_schema(self, spec: HeadSpec) -> type[Any]:
        """Return the type of the response body to one input."""
        return cast(type[Any], list[Detection])


def _corners(boxes: Array, size: tuple[int, int]) -> Array:
    """Convert boxes (queries, 4), cx, cy, w, h in 0..1, to whole pixels inside the picture."""
    centre, half = boxes[:, :2], boxes[:, 2:] / 2.0
    corners = np.concatenate([centre - half, centre + half], axis=1) * [*size, *size]
    return np.asarray(np.clip(np.rint(corners), 0, [*size, *size]))


POSTPROCESSOR = DetectionPostprocessor
