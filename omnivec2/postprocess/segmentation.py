"""Segmentation: a class per pixel as masks, or a class per point as indices."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydantic import BaseModel, Field, JsonValue

from omnivec2.errors import ModelNotReadyError
from omnivec2.postprocess.base import Array, Parameters, Postprocessor
from omnivec2.postprocess.numeric import Floats, checked_labels, checked_output, softmax
from omnivec2.postprocess.resize import class_map
from omnivec2.spec import HeadSpec, Modality, TaskFamily


class Segment(BaseModel):
    """The pixels of one class."""

    label: str
    score: float = Field(description="mean probability of the class inside the mask")
    mask: str = Field(description="base64 PNG of the input's size, 255 inside and 0 outside")


class PointLabels(BaseModel):
    """The class of every point."""

    labels: list[int | None] = Field(
        description="index into names per point, null for points without coordinates"
    )
    names: list[str]


class SegmentationParameters(Parameters):
    """Hugging Face's parameters of image segmentation, as far as they apply."""

    threshold: float | None = Field(
        default=None, ge=0.0, le=1.0, description="minimum score of a segment; default 0"
    )
    mask_threshold: float | None = Field(
        default=None, ge=0.0, le=1.0, description="minimum probability of a pixel; default 0"
    )
    overlap_mask_area_threshold: float | None = Field(
        default=None, ge=0.0, le=1.0, description="accepted and ignored: masks never overlap"
    )
    subtask: Literal["semantic"] | None = Field(default=None, description="only semantic")


class SegmentationPostprocessor(Postprocessor):
    """Makes ``[{"label", "score", "mask"}, …]`` in the order of the labels, or labels of points.

    The context decides: the samples are pixels of a ``grid`` (of which those that are not
    ``measured`` belong to no class), groups of points with an
    ``assignment``, or else one picture of a known ``size``.
    """

    family = TaskFamily.SEGMENTATION
    parameters_type = SegmentationParameters

    def __call__(
        self,
        outputs: Mapping[str, Array],
        context: Mapping[str, Any],
        spec: HeadSpec,
        parameters: SegmentationParameters,
    ) -> JsonValue:
        """Make the answer to one input; see the base class."""
        if "assignment" in context:
            return _label_points(checked_output(outputs, "logits", spec, ndim=3)[0], context, spec)
        if "grid" in context:
            logits = checked_output(outputs, "logits", spec, ndim=2)
            height, width = context["grid"]
            if len(logits) != height * width:
                raise ModelNotReadyError(f"{spec.route} gives {len(logits)} pixels")
            probabilities = softmax(logits).reshape(height, width, -1)
            classes, best = probabilities.argmax(axis=2), probabilities.max(axis=2)
            if (measured := context.get("measured")) is not None:
                classes = np.where(measured, classes, -1)  # no class without data
            count = logits.shape[1]
        else:
            picture = checked_output(outputs, "logits", spec, ndim=4)[0]
            classes, best = class_map(picture, context["size"])
            count = len(picture)
        return _segments(classes, best, checked_labels(spec, count), parameters)

    def response_schema(self, spec: HeadSpec) -> type[Any]:
        """Return the type of the response body to one input."""
        if spec.modality is Modality.POINTCLOUD:
            return PointLabels
        return cast(type[Any], list[Segment])


def _label_points(logits: Floats, context: Mapping[str, Any], spec: HeadSpec) -> JsonValue:
    """Give every point the best class of its group; ``logits`` are (groups, classes)."""
    names = checked_labels(spec, logits.shape[1])
    assignment = np.asarray(context["assignment"])
    classes = logits.argmax(axis=1)[assignment]
    indices: list[JsonValue] = [
        int(index) if group >= 0 else None
        for index, group in zip(classes.tolist(), assignment.tolist(), strict=True)
    ]
    return {"labels": indices, "names": list(names)}


def _segments(
    classes: npt.NDArray[Any],
    best: npt.NDArray[Any],
    names: tuple[str, ...],
    parameters: SegmentationParameters,
) -> JsonValue:
    certain = best >= (parameters.mask_threshold or 0.0)
    segments: list[JsonValue] = []
    for index, name in enumerate(names):
        inside = (classes == index) & certain
        if not inside.any():
            continue
        score = min(float(best[inside].mean(dtype=np.float64)), 1.0)
        if score >= (parameters.threshold or 0.0):
            segments.append({"label": name, "score": score, "mask": _png(inside)})
    return segments


def _png(inside: npt.NDArray[np.bool_]) -> str:
    stream = io.BytesIO()
    # Masks compress well at any level; the fastest keeps large pictures quick.
    Image.fromarray(inside.astype(np.uint8) * np.uint8(255)).save(
        stream, format="PNG", compress_level=1
    )
    return base64.b64encode(stream.getvalue()).decode("ascii")


POSTPROCESSOR = SegmentationPostprocessor
